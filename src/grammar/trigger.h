// SPDX-License-Identifier: Apache-2.0
#pragma once

// Triggers: text before a grammar. Any bytes, up to the first of some strings in them; what follows
// that is the grammar's. A text without any of the strings is one, too.
//
// The strings are found as by Aho and Corasick (Efficient String Matching, 1975), made states of
// the automaton. Any thread.

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "grammar/automaton.h"

namespace mirage::grammar {

inline constexpr size_t kMostTriggers = 64;
inline constexpr size_t kMostTriggerBytes = 256;  // of one

// kInvalidArgument for an empty string or beyond the bounds above.
[[nodiscard]] Status CheckTriggers(const std::vector<std::string>& triggers);

// Sets `triggered` and `free_text`. Without triggers nothing leads from free text to the grammar.
// Fails as CheckTriggers does.
[[nodiscard]] Result<Automaton> AddTriggers(Automaton automaton,
                                            const std::vector<std::string>& triggers);

}  // namespace mirage::grammar
