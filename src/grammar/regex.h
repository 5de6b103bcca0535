// SPDX-License-Identifier: Apache-2.0
#pragma once

// Regular expressions: those of ECMA-262 and RE2 that name a regular language, as a Dfa.
//
// Known: literals, `.`, classes [..] with ranges and negation, \d \D \w \W \s \S, \p{..} and \P{..}
// of general categories, \t \n \v \f \r \0, \cX, \xHH, \uHHHH, \u{..}, groups (..) (?:..)
// (?<name>..),
// |, * + ? {m} {m,} {m,n} and their lazy forms (the same language), ^ and $ (begin and end of the
// text). Unknown, and an Error that names it: look-around, back references, \b, flags, possessive
// quantifiers. Classes are ECMA's: \d and \w are ASCII, \s is Unicode's white space. `.` is any
// code point but \n and \r (U+2028 and U+2029 too).
//
// Time and memory are bounded by those of Nfa and Dfa. Any thread.

#include <string_view>

#include "base/result.h"
#include "grammar/dfa.h"

namespace mirage::grammar {

enum class Anchoring {
  kWhole,   // the expression describes the whole text
  kSearch,  // it matches somewhere in the text, as JSON schema's `pattern`
};

// kInvalidArgument: "position 7: ..."; kUnsupported for what is not known, or too large. `work`:
// shared with other expressions.
[[nodiscard]] Result<Dfa> CompileRegex(std::string_view pattern, Anchoring anchoring,
                                       Work* work = nullptr);

}  // namespace mirage::grammar
