// SPDX-License-Identifier: Apache-2.0
#pragma once

// MXFP4: 32 four-bit floats (sign, two bits of exponent, one of mantissa) under a power of two.
//
// The scale byte e (E8M0 of the OCP Microscaling specification 1.0) stands for 2^(e - 127). e = 0
// is 2^-127, a subnormal float; e = 255 is NaN and makes all 32 elements NaN.

#include <bit>
#include <cstdint>

#include "tensor/quant/bits.h"

namespace mirage::tensor {

inline constexpr float kE2m1Values[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                          -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

struct BlockMXFP4 {
  static constexpr int kElements = 32;
  uint8_t e;
  uint8_t qs[16];
};
static_assert(sizeof(BlockMXFP4) == 17);

[[nodiscard]] constexpr float E8m0ToFloat(uint8_t e) {
  if (e == 0) return std::bit_cast<float>(0x00400000u);
  if (e == 255) return std::bit_cast<float>(0x7FC00000u);
  return std::bit_cast<float>(static_cast<uint32_t>(e) << 23);
}

[[nodiscard]] inline bool Finite(const BlockMXFP4& block) { return block.e != 255; }

inline void Decode(const BlockMXFP4& block, float* out) {
  const float scale = E8m0ToFloat(block.e);
  for (int i = 0; i < 32; ++i) out[i] = scale * kE2m1Values[GetBits(block.qs, NibblePlace(i), 15)];
}

}  // namespace mirage::tensor
