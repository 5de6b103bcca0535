// SPDX-License-Identifier: Apache-2.0
#pragma once

// F32, F16 and BF16 as blocks of one element.

#include <bit>
#include <cstdint>

#include "base/half.h"

namespace mirage::tensor {

struct BlockF32 {
  static constexpr int kElements = 1;
  float value;
};
struct BlockF16 {
  static constexpr int kElements = 1;
  uint16_t bits;
};
struct BlockBF16 {
  static constexpr int kElements = 1;
  uint16_t bits;
};

[[nodiscard]] inline bool Finite(const BlockF32& block) {
  return (std::bit_cast<uint32_t>(block.value) & 0x7F800000u) != 0x7F800000u;
}
[[nodiscard]] inline bool Finite(const BlockF16& block) { return IsFiniteHalf(block.bits); }
[[nodiscard]] inline bool Finite(const BlockBF16& block) { return IsFiniteBf16(block.bits); }

inline void Decode(const BlockF32& block, float* out) { *out = block.value; }
inline void Decode(const BlockF16& block, float* out) { *out = HalfToFloat(block.bits); }
inline void Decode(const BlockBF16& block, float* out) { *out = Bf16ToFloat(block.bits); }

}  // namespace mirage::tensor
