// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rules: sets of texts that call each other, checked and put together into one Automaton.

#include <string>
#include <vector>

#include "base/result.h"
#include "grammar/automaton.h"
#include "grammar/dfa.h"

namespace mirage::grammar {

struct Rule {
  std::string name;
  Dfa body;  // its calls are indexes of rules
};

// Refuses rules that begin with themselves or that no text ends, by name. rules[root] is the
// beginning.
[[nodiscard]] Result<Automaton> AssembleRules(const std::vector<Rule>& rules, uint32_t root);

}  // namespace mirage::grammar
