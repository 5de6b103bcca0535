// SPDX-License-Identifier: Apache-2.0
#pragma once

// IQ4_NL and IQ4_XS: four bits that index a table of sixteen unevenly spaced levels.
//
//   IQ4_NL   32 elements   d * level
//   IQ4_XS  256 elements   d * (scale(g) - 32) * level, eight groups of 32 with 6-bit scales
//
// d is a half float.

#include <cstdint>

#include "base/half.h"
#include "tensor/quant/bits.h"

namespace mirage::tensor {

inline constexpr int8_t kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

struct BlockIQ4_NL {
  static constexpr int kElements = 32;
  uint16_t d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockIQ4_NL) == 18);

struct BlockIQ4_XS {
  static constexpr int kElements = 256;
  uint16_t d;
  uint16_t scales_h;    // two upper bits of each scale
  uint8_t scales_l[4];  // four lower bits
  uint8_t qs[128];
};
static_assert(sizeof(BlockIQ4_XS) == 136);

[[nodiscard]] constexpr BitPlace Iq4XsPlace(int i) {
  return {i / 32 * 16 + i % 16, i % 32 / 16 * 4};
}
[[nodiscard]] constexpr BitPlace Iq4XsScaleLowPlace(int group) {
  return {group / 2, group % 2 * 4};
}
[[nodiscard]] constexpr int GetIq4XsScale(const BlockIQ4_XS& block, int group) {
  return GetBits(block.scales_l, Iq4XsScaleLowPlace(group), 15) |
         ((block.scales_h >> 2 * group) & 3) << 4;
}

[[nodiscard]] inline bool Finite(const BlockIQ4_NL& block) { return IsFiniteHalf(block.d); }
[[nodiscard]] inline bool Finite(const BlockIQ4_XS& block) { return IsFiniteHalf(block.d); }

inline void Decode(const BlockIQ4_NL& block, float* out) {
  const float d = HalfToFloat(block.d);
  for (int i = 0; i < 32; ++i)
    out[i] = d * static_cast<float>(kIq4Levels[GetBits(block.qs, NibblePlace(i), 15)]);
}

inline void Decode(const BlockIQ4_XS& block, float* out) {
  const float d = HalfToFloat(block.d);
  for (int i = 0; i < 256; ++i) {
    const float scale = d * static_cast<float>(GetIq4XsScale(block, i / 32) - 32);
    out[i] = scale * static_cast<float>(kIq4Levels[GetBits(block.qs, Iq4XsPlace(i), 15)]);
  }
}

}  // namespace mirage::tensor
