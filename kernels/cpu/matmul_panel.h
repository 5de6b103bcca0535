// SPDX-License-Identifier: Apache-2.0
#pragma once

// QuantPanel: the matmul of quantised weights for many tokens where sixteen registers cannot hold a
// tile's sums beside the weights being unpacked. Up to 256 columns of a few rows are unpacked to
// memory once, in the first-level cache, and all tokens of the panel are multiplied by them, four
// at a time; in between, their float sums are in memory as well. Each (row, token) is the same
// chain of blocks in ascending order as in QuantTile.

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matmul_sums.h"
#include "kernels/cpu/quant_types.h"
#include "tensor/packed_rows.h"

namespace mirage::kernels {
namespace {

// 32 columns of kVectors vectors of rows.
template <class V, int kVectors>
struct Unpacked {
  typename V::Ints quads[8][kVectors];
  Scales<V> scales[kVectors];
};

template <class V, class T, int kVectors>
inline void Unpack(const std::byte* w, int64_t vector_bytes, int64_t group_bytes, int sub,
                   Unpacked<V, kVectors>* out) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const typename V::Rows rows(w + v * vector_bytes, group_bytes);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const Quads<V> quads = T::template ReadQuads<V>(rows, sub, k);
      out->quads[k][v] = quads.low;
      out->quads[k + 4][v] = quads.high;
    }
    T::template ReadScales<V>(rows, sub, out->scales[v]);
  }
}

// The integer dots of 32 columns.
template <class V, class T, int kVectors, class Tile>
inline void AddQuads(const Unpacked<V, kVectors>& w, const ActBlock* x, int64_t x_stride,
                     Tile& dots) {
  if constexpr (T::kHalfScales) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      dots.BeginHalf(half, w.scales);
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) dots.Add(w.quads[4 * half + k], half, k, x, x_stride);
      dots.EndHalf(half, w.scales);
    }
  } else {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      Quads<V> quads[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) quads[v] = {w.quads[k][v], w.quads[k + 4][v]};
      dots.Add(quads, k, x, x_stride);
    }
  }
}

// Weights that the next panel of rows reads, asked for bit by bit while this one is multiplied: all
// at once they would be more cache misses than the processor keeps in flight. kBytes is what 32
// columns of a vector's rows take.
template <int kVectors, int kBytes>
struct NextRows {
  const std::byte* at;  // nullptr: asks for nothing
  int64_t vector_bytes;

  void Prefetch() {
    if (at == nullptr) return;
    for (int v = 0; v < kVectors; ++v)
      for (int byte = 0; byte < kBytes; byte += 64)
        __builtin_prefetch(at + v * vector_bytes + byte, 0, 2);
    at += kBytes;
  }
};

// Adds `blocks` times 32 unpacked columns to the sums of kTokens tokens. Not unrolled over them, so
// that the code stays in the first-level cache too.
template <class V, class T, int kTokens, int kVectors, class Next>
inline void AddUnpacked(const Unpacked<V, kVectors>* w, int blocks, const ActBlock* x,
                        int64_t x_stride, Next next, typename V::Floats (*acc)[kVectors]) {
  typename V::Floats sums[kVectors][kTokens];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 8
    for (int m = 0; m < kTokens; ++m) sums[v][m] = acc[m][v];
#pragma GCC unroll 1
  for (int b = 0; b < blocks; ++b, ++w, ++x) {
    next.Prefetch();
    typename V::template DotTile<T, kVectors, kTokens> dots(x, x_stride);
    AddQuads<V, T>(*w, x, x_stride, dots);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) AddBlocks<V, T>(dots, v, w->scales[v], x, x_stride, sums[v]);
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 8
    for (int m = 0; m < kTokens; ++m) acc[m][v] = sums[v][m];
}

// kVectors vectors of rows, starting at `group`, by `tokens` <= V::kPanelTokens tokens.
template <class V, class T, int kVectors>
void QuantPanel(const MatMulPiece& piece, int32_t group, int32_t token, int32_t tokens) {
  static_assert(kRunBlocks % T::kSubBlocks == 0);
  static_assert(V::kGroups == 1);  // NextRows: a vector's rows lie side by side
  using Next = NextRows<kVectors, T::kRowBytes * kRowGroup / T::kSubBlocks>;
  const std::byte* w = piece.groups + group * piece.group_bytes;
  const int64_t vector_bytes = V::kGroups * piece.group_bytes;
  const ActBlock* x = static_cast<const ActBlock*>(piece.x) + token * piece.x_stride;

  typename V::Floats acc[V::kPanelTokens][kVectors];
  for (int32_t m = 0; m < tokens; ++m)
    for (int v = 0; v < kVectors; ++v) acc[m][v] = V::Set(0.0f);

  const int32_t all_blocks = piece.cols / kBlock;
  for (int32_t done = 0; done < all_blocks; done += kRunBlocks) {
    Unpacked<V, kVectors> unpacked[kRunBlocks];
    const int blocks = AtMost(kRunBlocks, all_blocks - done);
    Next next{token == 0 ? w + kVectors * vector_bytes : nullptr, vector_bytes};
    for (int b = 0; b < blocks; b += T::kSubBlocks, w += T::kRowBytes * kRowGroup)
#pragma GCC unroll 8
      for (int sub = 0; sub < T::kSubBlocks; ++sub)
        Unpack<V, T>(w, vector_bytes, piece.group_bytes, sub, &unpacked[b + sub]);

    int32_t m = 0;
    for (; m + 4 <= tokens; m += 4, next.at = nullptr)
      AddUnpacked<V, T, 4>(unpacked, blocks, x + m * piece.x_stride, piece.x_stride, next, acc + m);
    for (; m < tokens; ++m, next.at = nullptr)
      AddUnpacked<V, T, 1>(unpacked, blocks, x + m * piece.x_stride, piece.x_stride, next, acc + m);
    x += blocks;
  }

  for (int32_t m = 0; m < tokens; ++m)
    for (int v = 0; v < kVectors; ++v)
      StoreSums<V>(piece, (group + v * V::kGroups) * kRowGroup, token + m, acc[m][v]);
}

}  // namespace
}  // namespace mirage::kernels
