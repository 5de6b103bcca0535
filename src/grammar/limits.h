// SPDX-License-Identifier: Apache-2.0
#pragma once

// Bounds that both notations written by hand keep to, GBNF and regular expressions.

#include <cstdint>

namespace mirage::grammar {

inline constexpr int kMaxNesting = 50;  // groups in groups
inline constexpr uint32_t kMaxRepeat = 10'000;
inline constexpr uint32_t kUnbounded = UINT32_MAX;

}  // namespace mirage::grammar
