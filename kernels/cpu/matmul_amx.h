// SPDX-License-Identifier: Apache-2.0
#pragma once

// The matmul kernel of quantised weights for many tokens on AMX's tiles (TDPBSSD): 16 rows by 16
// tokens at a time. A tile's product is the exact integer dot of a block of 32 columns, or of each
// half of one whose halves have scales of their own; the float steps after it are those of
// matmul_sums.h, in the same order, so the bits are the same as well.
//
// A tile of weights holds in each row four columns of 16 rows, which is what two groups of the
// packed layout are once they are widened to bytes. A tile of activations is read where it is: a
// row of it is a block of one token.
//
// Two products are on their way at once, each on tiles of its own. Intel 64 and IA-32 Architectures
// Software Developer's Manual, volume 1, chapter 18; Optimization Reference Manual, chapter on AMX.

#include <cstdint>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matmul_sums.h"
#include "kernels/cpu/matmul_tiles.h"
#include "kernels/cpu/quant_types.h"
#include "kernels/cpu/simd_avx512.h"

namespace mirage::kernels {
namespace {

constexpr int kAmxTokens = 16;
constexpr int kAmxRows = 16;
// Tiles of tokens that a strip of weights is widened for.
constexpr int kPanelTiles = 8;

// What LDTILECFG reads. Static, since gcc 12 tells the compiler only of the first eight bytes.
struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

// For products of kColumns columns. Tiles 0 and 1: dots, a row to a token; 2 and 3: activations, a
// row to a token; 4 and 5: weights, a row to four columns.
template <int kColumns>
constexpr TileConfig MakeTileConfig() {
  TileConfig config{};
  config.palette = 1;
  for (int product = 0; product < 2; ++product) {
    config.rows[product] = kAmxTokens;
    config.row_bytes[product] = kAmxRows * sizeof(int32_t);
    config.rows[2 + product] = kAmxTokens;
    config.row_bytes[2 + product] = kColumns;
    config.rows[4 + product] = kColumns / 4;
    config.row_bytes[4 + product] = kAmxRows * 4;
  }
  return config;
}

template <int kColumns>
constexpr TileConfig kTileConfig = MakeTileConfig<kColumns>();

// This thread's tiles. Released, they cost a context switch nothing.
template <int kColumns>
class ConfiguredTiles {
 public:
  ConfiguredTiles() { _tile_loadconfig(&kTileConfig<kColumns>); }
  ~ConfiguredTiles() { _tile_release(); }
  ConfiguredTiles(const ConfiguredTiles&) = delete;
  ConfiguredTiles& operator=(const ConfiguredTiles&) = delete;
};

// Columns of one tile product: those that share a scale.
template <class T>
constexpr int kProductColumns = T::kHalfScales ? kBlock / 2 : kBlock;

// Some blocks of 16 rows as tiles want them.
template <class V>
struct WeightStrip {
  alignas(64) int8_t quads[kRunBlocks][kBlock / 4][kAmxRows * 4];  // signed
  Scales<V> scales[kRunBlocks];
};

// Offsets are taken off here, once for many tokens, so every type is multiplied alike.
template <class V, class T>
inline typename V::Ints SignedBytes(typename V::Ints bytes) {
  if constexpr (T::kSigned || T::kOffset == 0)
    return bytes;
  else
    return V::SubBytes(bytes, V::SetInts(EveryByte(T::kOffset)));
}

template <class V, class T>
inline void WidenBlocks(const std::byte* w, int64_t group_bytes, int blocks,
                        WeightStrip<V>& strip) {
  for (int first = 0; first < blocks; first += T::kSubBlocks, w += T::kRowBytes * kRowGroup) {
#pragma GCC unroll 8
    for (int sub = 0; sub < T::kSubBlocks; ++sub) {
      auto& block = strip.quads[first + sub];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const Quads<V> quads = T::template ReadQuads<V>({w, group_bytes}, sub, k);
        V::StoreInts(block[k], SignedBytes<V, T>(quads.low));
        V::StoreInts(block[k + 4], SignedBytes<V, T>(quads.high));
      }
      T::template ReadScales<V>({w, group_bytes}, sub, strip.scales[first + sub]);
    }
  }
  // gcc 12 does not know that a tile load reads memory: what was stored must be there before one.
  asm volatile("" : : "r"(&strip) : "memory");
}

// What two products leave: entry [token][row].
struct alignas(64) TileDots {
  int32_t of[2][kAmxTokens][kAmxRows];
};

// One product or two of neighbouring columns. The numbers of tiles are part of the instructions.
template <int kColumns>
inline void MultiplyTiles(const int8_t* weights, const ActBlock* x, int64_t x_stride, bool two,
                          TileDots& dots) {
  constexpr int kDotsStride = sizeof(dots.of[0][0]);
  constexpr int kQuadBytes = kAmxRows * 4;
  const int64_t token_bytes = x_stride * int64_t{sizeof(ActBlock)};
  _tile_zero(0);
  _tile_loadd(2, x->values, token_bytes);
  _tile_loadd(4, weights, kQuadBytes);
  _tile_dpbssd(0, 2, 4);
  if (two) {
    const int8_t* next = kColumns == kBlock ? x[1].values : x->values + kColumns;
    _tile_zero(1);
    _tile_loadd(3, next, token_bytes);
    _tile_loadd(5, weights + kColumns * kAmxRows, kQuadBytes);
    _tile_dpbssd(1, 3, 5);
    _tile_stored(1, dots.of[1], kDotsStride);
  }
  _tile_stored(0, dots.of[0], kDotsStride);
}

// The dots of one block as AddBlocks() asks for them.
template <class V, class T>
struct AmxDots {
  const int32_t (*products)[kAmxTokens][kAmxRows];  // one, or one of each half

  typename V::Ints Dot(int /*v*/, int m, const Scales<V>& scales, const ActBlock& /*a*/) const {
    const auto low = V::LoadInts(products[0][m]);
    if constexpr (!T::kHalfScales) return low;
    const auto high = V::LoadInts(products[1][m]);
    return V::AddInts(V::MulInts(low, HalfScale<V>(scales.scales, 0)),
                      V::MulInts(high, HalfScale<V>(scales.scales, 1)));
  }
};

// Continues the chains of 16 rows by 16 tokens with the blocks of a strip.
template <class V, class T>
void AddStrip(const WeightStrip<V>& strip, int blocks, const ActBlock* x, int64_t x_stride,
              float (&sums)[kAmxTokens][kAmxRows]) {
  constexpr int kColumns = kProductColumns<T>;
  constexpr int kStep = 2 * kColumns / kBlock;  // blocks of two products
  TileDots dots[2];
  const auto multiply = [&](int block) {
    MultiplyTiles<kColumns>(strip.quads[block][0], x + block, x_stride,
                            T::kHalfScales || block + 1 < blocks, dots[block / kStep % 2]);
  };

  typename V::Floats acc[kAmxTokens];
#pragma GCC unroll 16
  for (int m = 0; m < kAmxTokens; ++m) acc[m] = V::Load(sums[m]);
  multiply(0);
  for (int first = 0; first < blocks; first += kStep) {
    // One step ahead: a load waits until what a tile has stored is in the cache.
    if (first + kStep < blocks) multiply(first + kStep);
    for (int block = first; block < first + kStep && block < blocks; ++block)
      AddBlocks<V, T>(AmxDots<V, T>{&dots[first / kStep % 2].of[block - first]}, 0,
                      strip.scales[block], x + block, x_stride, acc);
  }
#pragma GCC unroll 16
  for (int m = 0; m < kAmxTokens; ++m) V::Store(sums[m], acc[m]);
}

// Two groups of rows by `tiles` tiles of tokens.
template <class V, class T>
void MultiplyPanel(const MatMulPiece& piece, int32_t group, int32_t token, int tiles) {
  const std::byte* w = piece.groups + group * piece.group_bytes;
  const ActBlock* x = static_cast<const ActBlock*>(piece.x) + token * piece.x_stride;
  WeightStrip<V> strip;
  alignas(64) float sums[kPanelTiles][kAmxTokens][kAmxRows] = {};

  const int32_t all_blocks = piece.cols / kBlock;
  for (int32_t first = 0; first < all_blocks; first += kRunBlocks) {
    const int blocks = AtMost(kRunBlocks, all_blocks - first);
    WidenBlocks<V, T>(w, piece.group_bytes, blocks, strip);
    for (int tile = 0; tile < tiles; ++tile)
      AddStrip<V, T>(strip, blocks, x + first + tile * kAmxTokens * piece.x_stride, piece.x_stride,
                     sums[tile]);
    w += blocks / T::kSubBlocks * T::kRowBytes * kRowGroup;
  }

  for (int tile = 0; tile < tiles; ++tile)
    for (int m = 0; m < kAmxTokens; ++m)
      StoreSums<V>(piece, group * kRowGroup, token + tile * kAmxTokens + m, V::Load(sums[tile][m]));
}

// The groups from `group` on against the tokens from `token` on.
inline MatMulPiece RestOf(MatMulPiece piece, int32_t group, int32_t token) {
  piece.groups += group * piece.group_bytes;
  piece.group_count -= group;
  piece.x = static_cast<const ActBlock*>(piece.x) + token * piece.x_stride;
  piece.tokens -= token;
  piece.y += token * piece.y_stride + group * kRowGroup;
  if (piece.bias != nullptr) piece.bias += group * kRowGroup;
  return piece;
}

// Whole tiles here; the tokens and the group that are left over by kRest's kernel.
template <const CpuKernels& kRest, class V, class T>
void MultiplyOnTiles(const MatMulPiece& piece) {
  const MatMulGroups rest = kRest.matmul_groups(T::kDType);
  const int32_t tokens = piece.tokens / kAmxTokens * kAmxTokens;
  const int32_t groups = piece.group_count / V::kGroups * V::kGroups;
  if (tokens == 0 || groups == 0) return rest(piece);
  {
    const ConfiguredTiles<kProductColumns<T>> tiles;
    for (int32_t group = 0; group < groups; group += V::kGroups)
      for (int32_t token = 0; token < tokens; token += kPanelTiles * kAmxTokens)
        MultiplyPanel<V, T>(piece, group, token,
                            AtMost(kPanelTiles, (tokens - token) / kAmxTokens));
  }
  if (tokens < piece.tokens) {
    MatMulPiece last_tokens = RestOf(piece, 0, tokens);
    last_tokens.group_count = groups;
    rest(last_tokens);
  }
  if (groups < piece.group_count) rest(RestOf(piece, groups, 0));
}

template <const CpuKernels& kRest, class V>
MatMulGroups FindTileMatMulGroups(DType dtype) {
  const MatMulGroups tiles = FindQuantKernel(
      dtype, QuantTypes(), []<class T>() -> MatMulGroups { return MultiplyOnTiles<kRest, V, T>; });
  return tiles != nullptr ? tiles : kRest.matmul_groups(dtype);
}

}  // namespace
}  // namespace mirage::kernels
