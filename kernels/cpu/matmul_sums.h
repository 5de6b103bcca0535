// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the matmul kernels of quantised weights share: the float steps of a block, where sums go,
// and how many columns are unpacked at once where that is done apart.

#include <cstdint>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/quant_types.h"
#include "kernels/integer_block.h"

namespace mirage::kernels {
namespace {

// Runs of 32 columns that are unpacked before they are multiplied: a multiple of every type's
// kSubBlocks, so that what 256 columns of a K-quant share is read together.
constexpr int kRunBlocks = 8;

// Not std::min: see kernels.h on inline functions.
constexpr int AtMost(int most, int count) { return count < most ? count : most; }

template <class V>
inline void StoreSums(const MatMulPiece& piece, int32_t row, int32_t token,
                      typename V::Floats sum) {
  float* y = piece.y + token * piece.y_stride + row;
  if (piece.adds) sum = V::MulAdd(V::Set(piece.scale), sum, V::Load(y));
  if (piece.bias != nullptr) sum = V::Add(sum, V::Load(piece.bias + row));
  V::Store(y, sum);
}

// The float steps of kernels/integer_block.h, for one vector of rows.
template <class V, class T, class Tile, int kTokens>
inline void AddBlocks(const Tile& dots, int v, const Scales<V>& scales, const ActBlock* x,
                      int64_t x_stride, typename V::Floats (&acc)[kTokens]) {
  constexpr Minimum kMinimum = MinimumOf(T::kDType);
#pragma GCC unroll 16
  for (int m = 0; m < kTokens; ++m) {
    const ActBlock& a = x[m * x_stride];
    const auto scale = V::Set(a.scale);
    const auto dot = V::ToFloats(dots.Dot(v, m, scales, a));
    acc[m] = V::MulAdd(V::Mul(scales.d, scale), dot, acc[m]);
    if constexpr (kMinimum == Minimum::kPerBlock)
      acc[m] = V::MulAdd(scales.m, V::Set(a.scaled_sum), acc[m]);
    if constexpr (kMinimum == Minimum::kPerHalf)
      acc[m] = V::MulAdd(V::Mul(scales.m, scale),
                         V::ToFloats(V::MulPairs(scales.mins, a.half_sums)), acc[m]);
  }
}

}  // namespace
}  // namespace mirage::kernels
