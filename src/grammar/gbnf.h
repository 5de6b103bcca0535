// SPDX-License-Identifier: Apache-2.0
#pragma once

// GBNF: the grammar notation of llama.cpp, as an Automaton.
//
//   # a comment
//   root ::= "[" ws (number ("," ws number)*)? "]"
//   number ::= "-"? [0-9]{1,5} ("." [0-9]+)?
//   ws ::= [ \t\n]*
//
// A rule is `name ::= alternatives`; alternatives are sequences between `|`; an item is "text", a
// class [..] or [^..], `.` (any code point), a rule's name or a group in parentheses, and may be
// repeated by * + ? {m} {m,} {m,n}. Escapes: \n \r \t \" \\ \[ \] \xHH \uHHHH \UHHHHHHHH. A body
// goes on over lines inside a group, after `::=` and around `|`. The text begins with `root`.
//
// Refused, by name: rules that are missing, defined twice, begin with themselves (left recursion),
// or can never end. Tokens as `<[1]>` are not known.
//
// Any thread. Time and memory are bounded.

#include <string_view>

#include "base/result.h"
#include "grammar/automaton.h"

namespace mirage::grammar {

constexpr size_t kMaxGbnfBytes = size_t{1} << 20;
constexpr size_t kMaxGbnfRules = 10'000;

// kInvalidArgument: "3:14: ..." (line and column); kUnsupported for what is not known, or too
// large.
[[nodiscard]] Result<Automaton> CompileGbnf(std::string_view text);

}  // namespace mirage::grammar
