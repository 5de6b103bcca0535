// SPDX-License-Identifier: Apache-2.0
#pragma once

// The matmul kernel, once for all instruction sets: a tile of one vector of rows by a few tokens
// keeps its sums in registers for all columns, so each (row, token) is one chain in ascending order
// whatever the tile.
//
// Bound by multiply-adds for many tokens (a block's weights are unpacked once per tile) and by
// reading weights for one token. Instantiated by the files that fill a CpuKernels table.

#include <cstdint>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/quant_types.h"
#include "kernels/integer_block.h"
#include "kernels/pack.h"

namespace mirage::kernels {
namespace {

template <class V>
inline void StoreSums(const MatMulPiece& piece, int32_t row, int32_t token,
                      typename V::Floats sum) {
  if (piece.bias != nullptr) sum = V::Add(sum, V::Load(piece.bias + row));
  V::Store(piece.y + token * piece.y_stride + row, sum);
}

template <class V, class T, int kTokens>
void QuantTile(const MatMulPiece& piece, int32_t group, int32_t token) {
  constexpr Minimum kMinimum = MinimumOf(T::kDType);
  typename V::Rows w(piece.groups + group * piece.group_bytes, piece.group_bytes);
  const ActBlock* x = static_cast<const ActBlock*>(piece.x) + token * piece.x_stride;
  const int64_t x_stride = piece.x_stride;

  typename V::Floats acc[kTokens];
#pragma GCC unroll 16
  for (int m = 0; m < kTokens; ++m) acc[m] = V::Set(0.0f);

  for (int32_t left = piece.cols / kBlock; left > 0; left -= T::kSubBlocks) {
    for (int sub = 0; sub < T::kSubBlocks; ++sub, ++x) {
      QuantBlock<V> block;
      T::Read(w, sub, block);
      typename V::Ints dots[kTokens];
      V::template Dots<T, kTokens>(block.q, block.scales, x, x_stride, dots);
#pragma GCC unroll 16
      for (int m = 0; m < kTokens; ++m) {
        const ActBlock& a = x[m * x_stride];
        const auto scale = V::Set(a.scale);
        acc[m] = V::MulAdd(V::Mul(block.d, scale), V::ToFloats(dots[m]), acc[m]);
        if constexpr (kMinimum == Minimum::kPerBlock)
          acc[m] = V::MulAdd(block.m, V::Set(a.scaled_sum), acc[m]);
        if constexpr (kMinimum == Minimum::kPerHalf)
          acc[m] = V::MulAdd(V::Mul(block.m, scale),
                             V::ToFloats(V::MulPairs(block.mins, a.half_sums)), acc[m]);
      }
    }
    w.Advance(T::kRowBytes * kRowGroup);
  }

#pragma GCC unroll 16
  for (int m = 0; m < kTokens; ++m) StoreSums<V>(piece, group * kRowGroup, token + m, acc[m]);
}

// Weights of a float type: a group's column is 8 values side by side.
template <class V, DType kType, int kVectors, int kTokens>
void FloatTile(const MatMulPiece& piece, int32_t group, int32_t token) {
  const float* x = static_cast<const float*>(piece.x) + token * piece.x_stride;
  const std::byte* w = piece.groups + group * piece.group_bytes;
  constexpr int kColumnBytes = (kType == DType::kF32 ? 4 : 2) * kRowGroup;

  typename V::Floats acc[kVectors][kTokens];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 16
    for (int m = 0; m < kTokens; ++m) acc[v][m] = V::Set(0.0f);

  for (int32_t c = 0; c < piece.cols; ++c, w += kColumnBytes) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const auto weights =
          V::template LoadColumn<kType>(w + v * V::kGroups * piece.group_bytes, piece.group_bytes);
#pragma GCC unroll 16
      for (int m = 0; m < kTokens; ++m)
        acc[v][m] = V::MulAdd(weights, V::Set(x[m * piece.x_stride + c]), acc[v][m]);
    }
  }

#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 16
    for (int m = 0; m < kTokens; ++m)
      StoreSums<V>(piece, (group + v * V::kGroups) * kRowGroup, token + m, acc[v][m]);
}

template <class V, class T, int kTokens>
void QuantTokens(const MatMulPiece& piece, int32_t group, int32_t* token) {
  for (; *token + kTokens <= piece.tokens; *token += kTokens)
    QuantTile<V, T, kTokens>(piece, group, *token);
}

// Groups [*group, group_count) as far as V takes them, each against all tokens.
template <class V, class T>
void QuantGroupsOf(const MatMulPiece& piece, int32_t* group) {
  for (; *group + V::kGroups <= piece.group_count; *group += V::kGroups) {
    int32_t token = 0;
    if constexpr (V::kTileTokens >= 8) QuantTokens<V, T, 8>(piece, *group, &token);
    QuantTokens<V, T, 4>(piece, *group, &token);
    QuantTokens<V, T, 2>(piece, *group, &token);
    QuantTokens<V, T, 1>(piece, *group, &token);
  }
}

template <class V, DType kType, int kVectors, int kTokens>
void FloatTokens(const MatMulPiece& piece, int32_t group, int32_t* token) {
  for (; *token + kTokens <= piece.tokens; *token += kTokens)
    FloatTile<V, kType, kVectors, kTokens>(piece, group, *token);
}

template <class V, DType kType, int kVectors>
void FloatGroupsOf(const MatMulPiece& piece, int32_t* group) {
  for (; *group + V::kGroups * kVectors <= piece.group_count; *group += V::kGroups * kVectors) {
    int32_t token = 0;
    FloatTokens<V, kType, kVectors, 4>(piece, *group, &token);
    FloatTokens<V, kType, kVectors, 1>(piece, *group, &token);
  }
}

// Wide takes as many groups at once as it can, Narrow (8 rows) the rest. They may be the same type.
template <class Wide, class Narrow, class T>
void MultiplyQuantGroups(const MatMulPiece& piece) {
  int32_t group = 0;
  QuantGroupsOf<Wide, T>(piece, &group);
  QuantGroupsOf<Narrow, T>(piece, &group);
}

template <class Wide, class Narrow, DType kType>
void MultiplyFloatGroups(const MatMulPiece& piece) {
  int32_t group = 0;
  FloatGroupsOf<Wide, kType, 4>(piece, &group);
  FloatGroupsOf<Wide, kType, 1>(piece, &group);
  FloatGroupsOf<Narrow, kType, 1>(piece, &group);
}

struct MatMulEntry {
  DType dtype;
  MatMulGroups multiply;
};

template <class Wide, class Narrow>
MatMulGroups FindMatMulGroups(DType dtype) {
  static constexpr MatMulEntry kEntries[] = {
      {DType::kF32, MultiplyFloatGroups<Wide, Narrow, DType::kF32>},
      {DType::kF16, MultiplyFloatGroups<Wide, Narrow, DType::kF16>},
      {DType::kBF16, MultiplyFloatGroups<Wide, Narrow, DType::kBF16>},
      {DType::kQ4_0, MultiplyQuantGroups<Wide, Narrow, Q4_0>},
      {DType::kQ4_1, MultiplyQuantGroups<Wide, Narrow, Q4_1>},
      {DType::kQ5_0, MultiplyQuantGroups<Wide, Narrow, Q5_0>},
      {DType::kQ5_1, MultiplyQuantGroups<Wide, Narrow, Q5_1>},
      {DType::kQ8_0, MultiplyQuantGroups<Wide, Narrow, Q8_0>},
      {DType::kQ2_K, MultiplyQuantGroups<Wide, Narrow, Q2_K>},
      {DType::kQ3_K, MultiplyQuantGroups<Wide, Narrow, Q3_K>},
      {DType::kQ4_K, MultiplyQuantGroups<Wide, Narrow, Q4_K>},
      {DType::kQ5_K, MultiplyQuantGroups<Wide, Narrow, Q5_K>},
      {DType::kQ6_K, MultiplyQuantGroups<Wide, Narrow, Q6_K>},
      {DType::kIQ4_NL, MultiplyQuantGroups<Wide, Narrow, IQ4_NL>},
      {DType::kIQ4_XS, MultiplyQuantGroups<Wide, Narrow, IQ4_XS>},
      {DType::kMXFP4, MultiplyQuantGroups<Wide, Narrow, MXFP4>},
  };
  for (const MatMulEntry& entry : kEntries)
    if (entry.dtype == dtype) return entry.multiply;
  return nullptr;
}

// Plain rows: one row at a time, the same chains. At most 7 rows of a segment.
template <class V>
void MultiplyPlainRows(DType dtype, const MatMulPiece& piece) {
  const auto mul_add = [](float a, float b, float c) { return V::ScalarMulAdd(a, b, c); };
  for (int32_t r = 0; r < piece.group_count; ++r) {
    const std::byte* row = piece.groups + r * piece.group_bytes;
    const float bias = piece.bias == nullptr ? 0.0f : piece.bias[r];
    for (int32_t token = 0; token < piece.tokens; ++token) {
      float acc = 0.0f;
      if (ReadsQuantized(dtype)) {
        const auto* x = static_cast<const ActBlock*>(piece.x) + token * piece.x_stride;
        const Minimum minimum = MinimumOf(dtype);
        for (int32_t b = 0; b < piece.cols / kBlock; ++b) {
          IntegerBlock block;
          (void)ReadIntegerBlock(dtype, row, b, &block);  // checked: a quantised type
          acc = AddBlock(minimum, block, x[b], acc, mul_add);
        }
      } else {
        const auto* x = static_cast<const float*>(piece.x) + token * piece.x_stride;
        for (int32_t c = 0; c < piece.cols; ++c)
          acc = mul_add(FloatWeightAt(dtype, row, c), x[c], acc);
      }
      if (piece.bias != nullptr) acc += bias;
      piece.y[token * piece.y_stride + r] = acc;
    }
  }
}

}  // namespace
}  // namespace mirage::kernels
