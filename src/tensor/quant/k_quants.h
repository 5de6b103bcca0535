// SPDX-License-Identifier: Apache-2.0
#pragma once

// Q2_K to Q6_K: 256 elements in groups with small integer scales of their own, under one or two
// half floats.
//
//   type  group  value of element i in group g                      bits of q
//   Q2_K   16    d * (scales[g] & 15) * q - dmin * (scales[g] >> 4)  2
//   Q3_K   16    d * (scale(g) - 32) * (q - 4)                       3, the third in hmask
//   Q4_K   32    d * scale(g) * q - dmin * min(g)                    4
//   Q5_K   32    d * scale(g) * q - dmin * min(g)                    5, the fifth in qh
//   Q6_K   16    d * scales[g] * (q - 32)                            6, the upper two in qh
//
// scale(g) and min(g) have 6 bits and are packed in 12 bytes.

#include <cstdint>

#include "base/half.h"
#include "tensor/quant/bits.h"

namespace mirage::tensor {

struct BlockQ2_K {
  static constexpr int kElements = 256;
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d;
  uint16_t dmin;
};
static_assert(sizeof(BlockQ2_K) == 84);

struct BlockQ3_K {
  static constexpr int kElements = 256;
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;
};
static_assert(sizeof(BlockQ3_K) == 110);

struct BlockQ4_K {
  static constexpr int kElements = 256;
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

struct BlockQ5_K {
  static constexpr int kElements = 256;
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ5_K) == 176);

struct BlockQ6_K {
  static constexpr int kElements = 256;
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;
};
static_assert(sizeof(BlockQ6_K) == 210);

// Q2_K, Q3_K: two bits of element i. Each half of 128 elements is 32 bytes, each 32 elements one
// bit pair.
[[nodiscard]] constexpr BitPlace TwoBitPlace(int i) {
  return {i / 128 * 32 + i % 32, i % 128 / 32 * 2};
}
// Q4_K, Q5_K: four bits of element i. Each 64 elements are 32 bytes, low nibbles first.
[[nodiscard]] constexpr BitPlace FourBitPlace(int i) {
  return {i / 64 * 32 + i % 32, i % 64 / 32 * 4};
}
// Q3_K's third and Q5_K's fifth bit of element i: bit i / 32 of byte i % 32.
[[nodiscard]] constexpr BitPlace TopBitPlace(int i) { return {i % 32, i / 32}; }
// Q6_K: the lower four bits of element i, and the upper two.
[[nodiscard]] constexpr BitPlace LowSixPlace(int i) {
  return {i / 128 * 64 + i % 64, i % 128 / 64 * 4};
}
[[nodiscard]] constexpr BitPlace HighSixPlace(int i) {
  return {i / 128 * 32 + i % 32, i % 128 / 32 * 2};
}

// Q4_K, Q5_K: the scale and the minimum of group 0 to 7. Bytes 0 to 3 hold the scales and 4 to 7
// the minimums of groups 0 to 3 in their lower six bits; bytes 8 to 11 hold the lower four bits of
// groups 4 to 7 (scale low, minimum high), whose upper two are the upper two of bytes 0 to 7.
struct ScaleMin {
  int scale;
  int min;
};

[[nodiscard]] constexpr ScaleMin GetScaleMin(const uint8_t* scales, int group) {
  if (group < 4) return {scales[group] & 63, scales[group + 4] & 63};
  return {(scales[group + 4] & 15) | (scales[group - 4] >> 6) << 4,
          (scales[group + 4] >> 4) | (scales[group] >> 6) << 4};
}

// The bits were zero.
constexpr void PutScaleMin(uint8_t* scales, int group, ScaleMin value) {
  if (group < 4) {
    PutBits(scales, {group, 0}, value.scale);
    PutBits(scales, {group + 4, 0}, value.min);
    return;
  }
  PutBits(scales, {group + 4, 0}, value.scale & 15);
  PutBits(scales, {group + 4, 4}, value.min & 15);
  PutBits(scales, {group - 4, 6}, value.scale >> 4);
  PutBits(scales, {group, 6}, value.min >> 4);
}

// Q3_K: the scale of group 0 to 15 with its bias of 32. The lower four bits are nibbles of bytes 0
// to 7, the upper two lie in bytes 8 to 11.
[[nodiscard]] constexpr BitPlace Q3ScaleLowPlace(int group) { return {group % 8, group / 8 * 4}; }
[[nodiscard]] constexpr BitPlace Q3ScaleHighPlace(int group) {
  return {8 + group % 4, group / 4 * 2};
}
[[nodiscard]] constexpr int GetQ3Scale(const uint8_t* scales, int group) {
  return GetBits(scales, Q3ScaleLowPlace(group), 15) | GetBits(scales, Q3ScaleHighPlace(group), 3)
                                                           << 4;
}

[[nodiscard]] inline bool Finite(const BlockQ2_K& block) {
  return IsFiniteHalf(block.d) && IsFiniteHalf(block.dmin);
}
[[nodiscard]] inline bool Finite(const BlockQ3_K& block) { return IsFiniteHalf(block.d); }
[[nodiscard]] inline bool Finite(const BlockQ4_K& block) {
  return IsFiniteHalf(block.d) && IsFiniteHalf(block.dmin);
}
[[nodiscard]] inline bool Finite(const BlockQ5_K& block) {
  return IsFiniteHalf(block.d) && IsFiniteHalf(block.dmin);
}
[[nodiscard]] inline bool Finite(const BlockQ6_K& block) { return IsFiniteHalf(block.d); }

inline void Decode(const BlockQ2_K& block, float* out) {
  const float d = HalfToFloat(block.d);
  const float dmin = HalfToFloat(block.dmin);
  for (int i = 0; i < 256; ++i) {
    const int scales = block.scales[i / 16];
    const float scale = d * static_cast<float>(scales & 15);
    const float min = dmin * static_cast<float>(scales >> 4);
    out[i] = scale * static_cast<float>(GetBits(block.qs, TwoBitPlace(i), 3)) - min;
  }
}

inline void Decode(const BlockQ3_K& block, float* out) {
  const float d = HalfToFloat(block.d);
  for (int i = 0; i < 256; ++i) {
    const float scale = d * static_cast<float>(GetQ3Scale(block.scales, i / 16) - 32);
    const int q = GetBits(block.qs, TwoBitPlace(i), 3) | GetBits(block.hmask, TopBitPlace(i), 1)
                                                             << 2;
    out[i] = scale * static_cast<float>(q - 4);
  }
}

inline void Decode(const BlockQ4_K& block, float* out) {
  const float d = HalfToFloat(block.d);
  const float dmin = HalfToFloat(block.dmin);
  for (int group = 0; group < 8; ++group) {
    const ScaleMin packed = GetScaleMin(block.scales, group);
    const float scale = d * static_cast<float>(packed.scale);
    const float min = dmin * static_cast<float>(packed.min);
    for (int i = group * 32; i < group * 32 + 32; ++i)
      out[i] = scale * static_cast<float>(GetBits(block.qs, FourBitPlace(i), 15)) - min;
  }
}

inline void Decode(const BlockQ5_K& block, float* out) {
  const float d = HalfToFloat(block.d);
  const float dmin = HalfToFloat(block.dmin);
  for (int group = 0; group < 8; ++group) {
    const ScaleMin packed = GetScaleMin(block.scales, group);
    const float scale = d * static_cast<float>(packed.scale);
    const float min = dmin * static_cast<float>(packed.min);
    for (int i = group * 32; i < group * 32 + 32; ++i) {
      const int q = GetBits(block.qs, FourBitPlace(i), 15) | GetBits(block.qh, TopBitPlace(i), 1)
                                                                 << 4;
      out[i] = scale * static_cast<float>(q) - min;
    }
  }
}

inline void Decode(const BlockQ6_K& block, float* out) {
  const float d = HalfToFloat(block.d);
  for (int i = 0; i < 256; ++i) {
    const float scale = d * static_cast<float>(block.scales[i / 16]);
    const int q = GetBits(block.ql, LowSixPlace(i), 15) | GetBits(block.qh, HighSixPlace(i), 3)
                                                              << 4;
    out[i] = scale * static_cast<float>(q - 32);
  }
}

}  // namespace mirage::tensor
