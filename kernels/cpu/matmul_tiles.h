// SPDX-License-Identifier: Apache-2.0
#pragma once

// The matmul kernels, written once over the vector types of all instruction sets. A tile of one or
// more vectors of rows by a few tokens keeps its sums in registers for all columns; where there are
// too few registers, QuantPanel takes its place for more than two tokens. Each (row, token) is one
// chain in ascending order whatever the tile.
//
// Bound by multiply-adds for many tokens (a block's weights are unpacked once per tile or panel)
// and by reading weights for one token. Instantiated by the files that fill a CpuKernels table.

#include <cstdint>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matmul_panel.h"
#include "kernels/cpu/matmul_sums.h"
#include "kernels/cpu/quant_types.h"
#include "kernels/integer_block.h"
#include "tensor/packed_rows.h"

namespace mirage::kernels {
namespace {

// How far ahead of what is read a group alone is asked for. 2 KiB came too late on a Zen 4.
constexpr int kPrefetchBytes = 6144;

// Asks for the weights that come next, where the processor's own prefetcher follows badly: groups
// side by side are read at several places at once, and the parts of a block of 256 columns out of
// order.
template <class V, class T, int kVectors>
inline void PrefetchBlocks(const std::byte* w, int64_t group_bytes) {
  constexpr int kGroups = V::kGroups * kVectors;
  constexpr int kBytes = T::kRowBytes * kRowGroup;
  constexpr int kAhead = (kPrefetchBytes + kBytes - 1) / kBytes * kBytes;  // in whole blocks
  const int64_t next = kGroups == 1 ? kAhead : kGroups * group_bytes;
  for (int g = 0; g < kGroups; ++g)
    for (int byte = 0; byte < kBytes; byte += 64)
      __builtin_prefetch(w + next + g * group_bytes + byte, 0, 2);
}

// The dots of 32 columns where each half of them has a scale: one half after the other, so that
// their sums need not be held at once.
template <class V, class T, int kVectors, class Tile>
inline void AddHalves(const std::byte* w, int64_t vector_bytes, int64_t group_bytes, int sub,
                      const Scales<V> (&scales)[kVectors], const ActBlock* x, int64_t x_stride,
                      Tile& dots) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    dots.BeginHalf(half, scales);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      typename V::Ints quads[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        quads[v] = T::template ReadQuad<V>({w + v * vector_bytes, group_bytes}, sub, 4 * half + k);
      dots.Add(quads, half, k, x, x_stride);
    }
    dots.EndHalf(half, scales);
  }
}

// kVectors vectors of rows, starting at `group`, by kTokens tokens.
template <class V, class T, int kVectors, int kTokens>
void QuantTile(const MatMulPiece& piece, int32_t group, int32_t token) {
  constexpr bool kHalvesInTurn = T::kHalfScales && V::kHalvesInTurn;
  using Tile = typename V::template DotTile<T, kVectors, kTokens>;
  const std::byte* w = piece.groups + group * piece.group_bytes;
  const int64_t vector_bytes = V::kGroups * piece.group_bytes;
  const ActBlock* x = static_cast<const ActBlock*>(piece.x) + token * piece.x_stride;
  const int64_t x_stride = piece.x_stride;
  // Where several groups are read, all tiles of these rows take turns in asking for the next ones:
  // one alone would wait for memory. A group alone is asked for as the first tile reads it.
  constexpr bool kTakeTurns = V::kGroups * kVectors > 1;
  constexpr bool kPrefetches = kTakeTurns || T::kSubBlocks > 1;
  const int32_t turns = kTakeTurns ? piece.tokens / kTokens : 1;
  int32_t until_prefetch = kTakeTurns || token == 0 ? token / kTokens : piece.cols;  // or never

  typename V::Floats acc[kVectors][kTokens];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 8
    for (int m = 0; m < kTokens; ++m) acc[v][m] = V::Set(0.0f);

  for (int32_t left = piece.cols / kBlock; left > 0; left -= T::kSubBlocks) {
#pragma GCC unroll 8
    for (int sub = 0; sub < T::kSubBlocks; ++sub, ++x) {
      Tile dots(x, x_stride);
      Scales<V> scales[kVectors];
      const auto read_scales = [&] {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          T::template ReadScales<V>({w + v * vector_bytes, piece.group_bytes}, sub, scales[v]);
      };
      if constexpr (kHalvesInTurn) {
        read_scales();
        AddHalves<V, T, kVectors>(w, vector_bytes, piece.group_bytes, sub, scales, x, x_stride,
                                  dots);
      } else {
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
          Quads<V> quads[kVectors];
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v)
            quads[v] = T::template ReadQuads<V>({w + v * vector_bytes, piece.group_bytes}, sub, k);
          dots.Add(quads, k, x, x_stride);
        }
        read_scales();
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) AddBlocks<V, T>(dots, v, scales[v], x, x_stride, acc[v]);
    }
    if constexpr (kPrefetches) {
      if (until_prefetch-- == 0) {
        PrefetchBlocks<V, T, kVectors>(w, piece.group_bytes);
        until_prefetch = turns - 1;
      }
    }
    w += T::kRowBytes * kRowGroup;
  }

#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 8
    for (int m = 0; m < kTokens; ++m)
      StoreSums<V>(piece, (group + v * V::kGroups) * kRowGroup, token + m, acc[v][m]);
}

// Weights of a float type: a group's column is 8 values side by side.
template <class V, DType kType, int kVectors, int kTokens>
void FloatTile(const MatMulPiece& piece, int32_t group, int32_t token) {
  const float* x = static_cast<const float*>(piece.x) + token * piece.x_stride;
  const std::byte* w = piece.groups + group * piece.group_bytes;
  constexpr int kColumnBytes = (kType == DType::kF32 ? 4 : 2) * kRowGroup;

  typename V::Floats acc[kVectors][kTokens];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 8
    for (int m = 0; m < kTokens; ++m) acc[v][m] = V::Set(0.0f);

  for (int32_t c = 0; c < piece.cols; ++c, w += kColumnBytes) {
    typename V::Floats weights[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      weights[v] =
          V::template LoadColumn<kType>(w + v * V::kGroups * piece.group_bytes, piece.group_bytes);
#pragma GCC unroll 8
    for (int m = 0; m < kTokens; ++m) {
      const auto value = V::Set(x[m * piece.x_stride + c]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[v][m] = V::MulAdd(weights[v], value, acc[v][m]);
    }
  }

#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 8
    for (int m = 0; m < kTokens; ++m)
      StoreSums<V>(piece, (group + v * V::kGroups) * kRowGroup, token + m, acc[v][m]);
}

template <class V, class T, int kVectors, int kTokens>
void QuantTokens(const MatMulPiece& piece, int32_t group, int32_t* token) {
  for (; *token + kTokens <= piece.tokens; *token += kTokens)
    QuantTile<V, T, kVectors, kTokens>(piece, group, *token);
}

// Groups [*group, group_count) as far as kVectors vectors take them, each against all tokens.
template <class V, class T, int kVectors>
void QuantGroupsOf(const MatMulPiece& piece, int32_t* group) {
  constexpr int kStep = V::kGroups * kVectors;
  constexpr bool kPanels = V::kPanelTokens > 0 && !T::kStoredAsBytes;
  for (; *group + kStep <= piece.group_count; *group += kStep) {
    int32_t token = 0;
    if constexpr (kPanels) {
      // For one or two tokens unpacking apart does not pay.
      while (piece.tokens - token > 2) {
        const int32_t tokens = AtMost(V::kPanelTokens, piece.tokens - token);
        QuantPanel<V, T, kVectors>(piece, *group, token, tokens);
        token += tokens;
      }
    }
    if constexpr (!kPanels && V::kTileTokens >= 8)
      QuantTokens<V, T, kVectors, 8>(piece, *group, &token);
    if constexpr (!kPanels && V::kTileTokens >= 4)
      QuantTokens<V, T, kVectors, 4>(piece, *group, &token);
    QuantTokens<V, T, kVectors, 2>(piece, *group, &token);
    QuantTokens<V, T, kVectors, 1>(piece, *group, &token);
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

// Wide takes as many groups at once as it can, Narrow (8 rows) the rest; they may be the same type.
// One or two tokens are bound by reading weights, which goes fastest one group after the other.
template <class Wide, class Narrow, class T>
void MultiplyQuantGroups(const MatMulPiece& piece) {
  int32_t group = 0;
  if (piece.tokens > 2) QuantGroupsOf<Wide, T, Wide::kTileVectors>(piece, &group);
  QuantGroupsOf<Narrow, T, 1>(piece, &group);
}

template <class Wide, class Narrow, DType kType>
void MultiplyFloatGroups(const MatMulPiece& piece) {
  int32_t group = 0;
  FloatGroupsOf<Wide, kType, Wide::kFloatVectors>(piece, &group);
  FloatGroupsOf<Wide, kType, 1>(piece, &group);
  FloatGroupsOf<Narrow, kType, 1>(piece, &group);
}

// kernel_of<T>() for the T of the list that is `dtype`; nullptr where none is.
template <class KernelOf, class... Ts>
MatMulGroups FindQuantKernel(DType dtype, TypeList<Ts...> /*types*/, KernelOf kernel_of) {
  MatMulGroups found = nullptr;
  (static_cast<void>(dtype == Ts::kDType && (found = kernel_of.template operator()<Ts>())), ...);
  return found;
}

template <class Wide, class Narrow>
MatMulGroups FindMatMulGroups(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return MultiplyFloatGroups<Wide, Narrow, DType::kF32>;
    case DType::kF16:
      return MultiplyFloatGroups<Wide, Narrow, DType::kF16>;
    case DType::kBF16:
      return MultiplyFloatGroups<Wide, Narrow, DType::kBF16>;
    default:
      return FindQuantKernel(dtype, QuantTypes(), []<class T>() -> MatMulGroups {
        return MultiplyQuantGroups<Wide, Narrow, T>;
      });
  }
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
      float* y = piece.y + token * piece.y_stride + r;
      if (piece.adds) acc = mul_add(piece.scale, acc, *y);
      if (piece.bias != nullptr) acc += bias;
      *y = acc;
    }
  }
}

}  // namespace
}  // namespace mirage::kernels
