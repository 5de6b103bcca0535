// SPDX-License-Identifier: Apache-2.0
#pragma once

// IntegerBlock: 32 columns of one row of a quantised weight as integers and two floats, which is
// the form in which the arithmetic of matmul is stated. Every kernel computes exactly this:
//
//   value of column c of half h = c / 16:   d * scale[h] * q[c] + m * min[h]
//
//   dot  = scale[0] * sum_{c<16} q[c] * a[c] + scale[1] * sum_{c>=16} q[c] * a[c]       (int32,
//   exact) acc  = fma(d * act.scale, float(dot), acc) then, for types with a minimum per 32 columns
//   (Q4_1, Q5_1, Q4_K, Q5_K): acc  = fma(m, act.scaled_sum, acc) or, for types with minima per 16
//   columns (Q2_K): mins = min[0] * act.half_sums[0] + min[1] * act.half_sums[1] (int32, exact) acc
//   = fma(m * act.scale, float(mins), acc)
//
// block by block in ascending order, acc starting at +0. For K-quants d is (file d) * (scale of 32)
// where the type has one, which is exact in float; likewise m. A table without fused multiply-add
// (generic) rounds twice where fma is written and agrees with itself only.

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

namespace mirage::kernels {

enum class Minimum { kNone, kPerBlock, kPerHalf };

struct IntegerBlock {
  float d;
  float m;
  int16_t scale[2];
  int16_t min[2];
  int8_t q[kBlock];
};

[[nodiscard, gnu::always_inline]] constexpr Minimum MinimumOf(DType dtype) {
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return Minimum::kPerBlock;
    case DType::kQ2_K:
      return Minimum::kPerHalf;
    default:
      return Minimum::kNone;
  }
}

// Reads columns [32 * index, 32 * index + 32) of a row as the file stores it. False for types that
// are not quantised or not supported; `block` is then untouched.
[[nodiscard]] bool ReadIntegerBlock(DType dtype, const std::byte* row, int64_t index,
                                    IntegerBlock* block);

// Column c of a row of a float type, as a file stores it.
[[nodiscard]] float FloatWeightAt(DType dtype, const std::byte* row, int64_t c);

// The integer part of one block; |dot| < 2^25 for every type.
[[nodiscard, gnu::always_inline]] inline int32_t Dot(const IntegerBlock& block,
                                                     const ActBlock& act) {
  int32_t low = 0;
  int32_t high = 0;
  for (int c = 0; c < 16; ++c) {
    low += block.q[c] * act.values[c];
    high += block.q[16 + c] * act.values[16 + c];
  }
  return block.scale[0] * low + block.scale[1] * high;
}

// One step of the chain. `mul_add(a, b, c)` is fma, or a * b + c for tables without it.
template <typename MulAdd>
[[nodiscard, gnu::always_inline]] inline float AddBlock(Minimum minimum, const IntegerBlock& block,
                                                        const ActBlock& act, float acc,
                                                        MulAdd mul_add) {
  acc = mul_add(block.d * act.scale, static_cast<float>(Dot(block, act)), acc);
  if (minimum == Minimum::kPerBlock) return mul_add(block.m, act.scaled_sum, acc);
  if (minimum == Minimum::kPerHalf) {
    const int32_t mins = block.min[0] * act.half_sums[0] + block.min[1] * act.half_sums[1];
    return mul_add(block.m * act.scale, static_cast<float>(mins), acc);
  }
  return acc;
}

}  // namespace mirage::kernels
