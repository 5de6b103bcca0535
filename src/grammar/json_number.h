// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which texts are JSON numbers of some kind, as automata over digits that compare with exact
// decimals. Exponents only where nothing bounds the number. Any thread.

#include "base/result.h"
#include "grammar/dfa.h"
#include "grammar/json_value.h"

namespace mirage::grammar {

[[nodiscard]] Result<Dfa> AnyNumber();
// Those without an exponent.
[[nodiscard]] Result<Dfa> PlainNumber();
// Whole numbers; "3.0" is one.
[[nodiscard]] Result<Dfa> AnyInteger();

// Numbers that are less than, equal to or greater than `bound`, as asked.
[[nodiscard]] Result<Dfa> Compared(const Decimal& bound, bool less, bool equal, bool greater);

// Multiples of `divisor`, which is above 0.
[[nodiscard]] Result<Dfa> MultiplesOf(const Decimal& divisor);

}  // namespace mirage::grammar
