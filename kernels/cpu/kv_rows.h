// SPDX-License-Identifier: Apache-2.0
#pragma once

// Keys and values read from pages as vectors, and written to them, once for all instruction sets
// and all types (kernels/kv_page.h).

#include <cstdint>
#include <cstring>

#include "kernels/cpu/elementwise_rows.h"
#include "kernels/kv_page.h"

namespace mirage::kernels {
namespace {

inline constexpr int kCacheLine = 64;

[[gnu::always_inline]] inline void PrefetchLine(const void* at, int64_t ahead) {
  __builtin_prefetch(static_cast<const std::byte*>(at) + ahead, 0, 2);  // into the second cache
}

// K of one kv head in one page, for slots [first, first + kVectors * lanes).
template <class V, KvType kType, int kVectors>
class KeyReader {
 public:
  KeyReader(std::byte* part, int32_t head_dim, int first) {
    if constexpr (kType == KvType::kF16) {
      halves_ = PartHalves(part) + first;
    } else {
      scale_bits_ = PartScales(part) + first;
      values_ = PartValues(part, head_dim) + first;
    }
  }

  // Dims of this block come next.
  [[gnu::always_inline]] void Begin(int32_t block) {
    if constexpr (kType != KvType::kF16)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        scales_[v] = V::LoadHalf(scale_bits_ + block * kPageTokens + v * V::kLanes);
  }

  // Asks for the bytes that lie `ahead` after those of a dim.
  [[gnu::always_inline]] void Prefetch(int32_t dim, int64_t ahead) const {
    if constexpr (kType == KvType::kF16) {
      PrefetchLine(halves_ + dim * kPageTokens, ahead);
    } else {
      const int32_t row = kType == KvType::kQ8_0 ? dim : dim / kKvBlock * 16 + dim % 16;
      PrefetchLine(values_ + row * kPageTokens, ahead);
    }
  }

  [[nodiscard, gnu::always_inline]] typename V::Floats Load(int32_t dim, int v) const {
    if constexpr (kType == KvType::kF16) {
      return V::LoadHalf(halves_ + dim * kPageTokens + v * V::kLanes);
    } else if constexpr (kType == KvType::kQ8_0) {
      const uint8_t* at = values_ + dim * kPageTokens + v * V::kLanes;
      return V::Mul(V::LoadBytes(reinterpret_cast<const int8_t*>(at)), scales_[v]);
    } else {
      const int32_t row = dim / kKvBlock * 16 + dim % 16;
      const int shift = dim & 16 ? 4 : 0;
      return V::Mul(V::LoadNibbles(values_ + row * kPageTokens + v * V::kLanes, shift), scales_[v]);
    }
  }

 private:
  const uint16_t* halves_ = nullptr;
  const uint16_t* scale_bits_ = nullptr;
  const uint8_t* values_ = nullptr;
  typename V::Floats scales_[kVectors];
};

// V of one kv head in one page, for dims [dim, dim + kVectors * lanes); kPart: only the first
// `count` dims of the one vector exist.
template <class V, KvType kType, int kVectors, bool kPart>
class ValueReader {
 public:
  ValueReader(std::byte* part, int32_t head_dim, int32_t dim, int32_t count) : count_(count) {
    if constexpr (kType == KvType::kF16) {
      halves_ = PartHalves(part) + dim;
      stride_ = head_dim;
    } else {
      const int32_t blocks = KvBlocks(head_dim);
      stride_ = int64_t{blocks} * KvBlockBytes(kType);
      const int32_t block = dim / kKvBlock;
      offset_ = dim % kKvBlock;
      values_ = PartValues(part, head_dim) + block * KvBlockBytes(kType);
      for (int b = 0; b < kBlocks && block + b < blocks; ++b)
        for (int i = 0; i < kPageTokens; i += V::kLanes)
          V::Store(scales_[b] + i, V::LoadHalf(PartScales(part) + (block + b) * kPageTokens + i));
    }
  }

  // Asks for the bytes that lie `ahead` after those of a slot.
  [[gnu::always_inline]] void Prefetch(int64_t slot, int64_t ahead) const {
    constexpr int kBytes = kVectors * V::kLanes * (kType == KvType::kF16 ? 2 : 1);
    const auto* row = kType == KvType::kF16
                          ? reinterpret_cast<const uint8_t*>(halves_ + slot * stride_)
                          : values_ + slot * stride_ + offset_;
#pragma GCC unroll 4
    for (int byte = 0; byte < kBytes; byte += kCacheLine) PrefetchLine(row + byte, ahead);
  }

  [[nodiscard, gnu::always_inline]] typename V::Floats Load(int64_t slot, int v) const {
    if constexpr (kType == KvType::kF16) {
      const uint16_t* at = halves_ + slot * stride_ + v * V::kLanes;
      if constexpr (!kPart) return V::LoadHalf(at);
      uint16_t padded[V::kLanes] = {};
      std::memcpy(padded, at, static_cast<size_t>(count_) * sizeof(uint16_t));
      return V::LoadHalf(padded);
    } else {  // the rows of quantised values are as long as their blocks
      const int32_t dim = offset_ + v * V::kLanes;
      const auto scale = V::Set(scales_[dim / kKvBlock][slot]);
      const uint8_t* row = values_ + slot * stride_;
      if constexpr (kType == KvType::kQ8_0)
        return V::Mul(V::LoadBytes(reinterpret_cast<const int8_t*>(row + dim)), scale);
      row += dim / kKvBlock * 16 + dim % 16;
      return V::Mul(V::LoadNibbles(row, dim & 16 ? 4 : 0), scale);
    }
  }

 private:
  static constexpr int kBlocks = (kVectors * V::kLanes + kKvBlock - 1) / kKvBlock + 1;

  int32_t count_;
  int64_t stride_ = 0;
  const uint16_t* halves_ = nullptr;
  const uint8_t* values_ = nullptr;
  int32_t offset_ = 0;  // of the first dim in its block
  alignas(64) float scales_[kType == KvType::kF16 ? 1 : kBlocks][kPageTokens];
};

// The bytes of a block of one slot, as they lie `stride` bytes apart in a page; returns its scale.
inline float QuantizeQ8(const float* x, int32_t count, uint8_t* y, int64_t stride) {
  float most = 0.0f;
  for (int32_t i = 0; i < count; ++i) {
    const float magnitude = __builtin_fabsf(x[i]);
    if (magnitude > most) most = magnitude;
  }
  const float d = most / 127.0f;
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  for (int32_t i = 0; i < count; ++i) {
    float level = x[i] * inverse;
    level = level < -127.0f ? -127.0f : level > 127.0f ? 127.0f : level;
    y[i * stride] = static_cast<uint8_t>(__builtin_lrintf(level));
  }
  return d;
}

inline float QuantizeQ4(const float* x, int32_t count, uint8_t* y, int64_t stride) {
  constexpr int kHalf = kKvBlock / 2;
  float most = 0.0f;
  for (int32_t i = 0; i < count; ++i)
    if (__builtin_fabsf(x[i]) > __builtin_fabsf(most)) most = x[i];
  const float d = most / -8.0f;
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  uint8_t numbers[kKvBlock] = {};
  for (int32_t i = 0; i < count; ++i) {
    const float level = x[i] * inverse + 8.5f;
    numbers[i] = level < 15.0f ? static_cast<uint8_t>(level > 0.0f ? level : 0.0f) : 15;
  }
  for (int i = 0; i < kHalf; ++i)
    y[i * stride] = static_cast<uint8_t>(numbers[i] | numbers[i + kHalf] << 4);
  return d;
}

// One slot of a quantised part. `at(block)` is where the block's bytes begin, `stride` apart.
template <class V, typename At>
inline void WriteQuantized(const KvLayer& layer, std::byte* part, int64_t slot, const float* x,
                           int64_t stride, const At& at) {
  for (int32_t block = 0; block < KvBlocks(layer.head_dim); ++block) {
    const int32_t begin = block * kKvBlock;
    const int32_t rest = layer.head_dim - begin;
    const int32_t count = rest < kKvBlock ? rest : kKvBlock;
    const float d = layer.type == KvType::kQ8_0 ? QuantizeQ8(x + begin, count, at(block), stride)
                                                : QuantizeQ4(x + begin, count, at(block), stride);
    uint16_t halves[V::kLanes];
    V::StoreHalf(halves, V::Set(d));
    PartScales(part)[block * kPageTokens + slot] = halves[0];
  }
}

template <class V>
inline void WriteHalves(const KvLayer& layer, std::byte* page, int32_t head, int64_t slot,
                        const float* k, const float* v) {
  uint16_t* page_k = PartHalves(PageK(layer, page, head)) + slot;
  uint16_t* page_v = PartHalves(PageV(layer, page, head)) + slot * layer.head_dim;
  ForEachVector<V>(0, layer.head_dim, [&](int64_t i, int64_t count) {
    const int64_t lanes = count < V::kLanes ? count : V::kLanes;
    uint16_t halves[V::kLanes];
    V::StoreHalf(halves, LoadPart<V>(v + i, count));
    std::memcpy(page_v + i, halves, static_cast<size_t>(lanes) * sizeof(uint16_t));
    V::StoreHalf(halves, LoadPart<V>(k + i, count));
    for (int64_t j = 0; j < lanes; ++j) page_k[(i + j) * kPageTokens] = halves[j];
  });
}

template <class V>
void WriteKv(const KvWriteArgs& args, const SequenceView& sequence, int32_t token_begin,
             int32_t token_end) {
  const KvLayer& layer = args.layer;
  const int64_t block_bytes = KvBlockBytes(layer.type);
  for (int32_t token = token_begin; token < token_end; ++token) {
    const int64_t m = sequence.row0 + token;
    const int64_t t = sequence.position + token;
    const int64_t slot = t % kPageTokens;
    std::byte* page = PageOf(layer, sequence, t);
    for (int32_t head = 0; head < layer.kv_heads; ++head) {
      const float* k = args.k + m * args.k_stride + static_cast<int64_t>(head) * layer.head_dim;
      const float* v = args.v + m * args.v_stride + static_cast<int64_t>(head) * layer.head_dim;
      if (layer.type == KvType::kF16) {
        WriteHalves<V>(layer, page, head, slot, k, v);
        continue;
      }
      std::byte* part_k = PageK(layer, page, head);
      std::byte* part_v = PageV(layer, page, head);
      uint8_t* values_k = PartValues(part_k, layer.head_dim) + slot;
      uint8_t* values_v =
          PartValues(part_v, layer.head_dim) + slot * KvBlocks(layer.head_dim) * block_bytes;
      WriteQuantized<V>(layer, part_k, slot, k, kPageTokens, [&](int32_t block) {
        return values_k + block * block_bytes * kPageTokens;
      });
      WriteQuantized<V>(layer, part_v, slot, v, 1,
                        [&](int32_t block) { return values_v + block * block_bytes; });
    }
  }
}

}  // namespace
}  // namespace mirage::kernels
