// SPDX-License-Identifier: Apache-2.0
#pragma once

// JSON schemas of draft 2020-12 as an Automaton over the JSON texts that are valid by them.
//
// Known: type, enum, const; minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf;
// minLength, maxLength, pattern, format (date, time, date-time, uuid, email, ipv4, ipv6, uri; it
// is held to, not only noted); items, prefixItems, minItems, maxItems; properties, required,
// additionalProperties, minProperties, maxProperties; allOf, anyOf, oneOf, not, if, then, else;
// $ref to '#' and
// '#/...', recursion included; true and false. Notes without a meaning for validity are passed
// over: title, description, default, examples, deprecated, readOnly, writeOnly, $comment, $schema,
// $id of the document, $defs, definitions, contentEncoding, contentMediaType, contentSchema. All
// else is refused by name, with the JSON pointer of where it stands.
//
// Texts: members in any order, each name of `properties` once; white space where JSON has it.
// Numbers that a schema bounds, integers among them, have no exponent.
//
// Any thread. Time and memory are bounded.

#include <string_view>

#include "base/result.h"
#include "grammar/automaton.h"

namespace mirage::grammar {

// In how many ways one value may be spelt.
enum class Spelling {
  kAny,  // all those above
  // So that a text that is made up on the way comes to its end, and is read as it is meant: white
  // space is a space, or a line break and up to kMostIndent spaces and tabs, none after the whole
  // text; in strings printable ASCII is as itself; numbers have up to 16 digits before the point,
  // 16 after it and 2 in the exponent, where the schema allows any such.
  kBounded,
};
inline constexpr int kMostIndent = 20;

// kInvalidArgument and kUnsupported: "#/properties/a: ...". A schema that nothing satisfies gives
// an automaton of no text.
[[nodiscard]] Result<Automaton> CompileJsonSchema(std::string_view text,
                                                  Spelling spelling = Spelling::kAny);

}  // namespace mirage::grammar
