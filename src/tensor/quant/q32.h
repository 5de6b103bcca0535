// SPDX-License-Identifier: Apache-2.0
#pragma once

// Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: 32 elements with one scale, and a minimum in the _1 types.
//
//   Q4_0  (q - 8) * d     Q4_1  q * d + m     q of 4 bits
//   Q5_0  (q - 16) * d    Q5_1  q * d + m     q of 5 bits, the fifth of element i is bit i of qh
//   Q8_0  q * d                               q is int8
//
// d and m are half floats.

#include <cstdint>

#include "base/half.h"
#include "tensor/quant/bits.h"

namespace mirage::tensor {

struct BlockQ4_0 {
  static constexpr int kElements = 32;
  uint16_t d;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

struct BlockQ4_1 {
  static constexpr int kElements = 32;
  uint16_t d;
  uint16_t m;
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

struct BlockQ5_0 {
  static constexpr int kElements = 32;
  uint16_t d;
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

struct BlockQ5_1 {
  static constexpr int kElements = 32;
  uint16_t d;
  uint16_t m;
  uint8_t qh[4];
  uint8_t qs[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

struct BlockQ8_0 {
  static constexpr int kElements = 32;
  uint16_t d;
  int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

// The fifth bit of element i.
[[nodiscard]] constexpr BitPlace FifthBitPlace(int i) { return {i / 8, i % 8}; }

[[nodiscard]] inline bool Finite(const BlockQ4_0& block) { return IsFiniteHalf(block.d); }
[[nodiscard]] inline bool Finite(const BlockQ4_1& block) {
  return IsFiniteHalf(block.d) && IsFiniteHalf(block.m);
}
[[nodiscard]] inline bool Finite(const BlockQ5_0& block) { return IsFiniteHalf(block.d); }
[[nodiscard]] inline bool Finite(const BlockQ5_1& block) {
  return IsFiniteHalf(block.d) && IsFiniteHalf(block.m);
}
[[nodiscard]] inline bool Finite(const BlockQ8_0& block) { return IsFiniteHalf(block.d); }

inline void Decode(const BlockQ4_0& block, float* out) {
  const float d = HalfToFloat(block.d);
  for (int i = 0; i < 32; ++i)
    out[i] = static_cast<float>(GetBits(block.qs, NibblePlace(i), 15) - 8) * d;
}

inline void Decode(const BlockQ4_1& block, float* out) {
  const float d = HalfToFloat(block.d);
  const float m = HalfToFloat(block.m);
  for (int i = 0; i < 32; ++i)
    out[i] = static_cast<float>(GetBits(block.qs, NibblePlace(i), 15)) * d + m;
}

// The five bits of element i of a Q5_0 or Q5_1 block.
template <typename Block>
[[nodiscard]] constexpr int FiveBits(const Block& block, int i) {
  return GetBits(block.qs, NibblePlace(i), 15) | GetBits(block.qh, FifthBitPlace(i), 1) << 4;
}

inline void Decode(const BlockQ5_0& block, float* out) {
  const float d = HalfToFloat(block.d);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(FiveBits(block, i) - 16) * d;
}

inline void Decode(const BlockQ5_1& block, float* out) {
  const float d = HalfToFloat(block.d);
  const float m = HalfToFloat(block.m);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(FiveBits(block, i)) * d + m;
}

inline void Decode(const BlockQ8_0& block, float* out) {
  const float d = HalfToFloat(block.d);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(block.qs[i]) * d;
}

}  // namespace mirage::tensor
