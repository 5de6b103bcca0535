// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where things are within the pages of one layer (kernels/ops.h, KvLayer). Any thread.
//
// A part is K or V of one kv head:
//   kF16   K as [head_dim][slot], V as [slot][head_dim], half floats
//   kQ8_0  scales [block][slot], half floats; then K as [32 * blocks][slot], V as
//          [slot][32 * blocks], signed bytes
//   kQ4_0  the same with K as [16 * blocks][slot] and V as [slot][16 * blocks]: byte i of a block
//          holds the numbers, plus 8, of its dims i (low bits) and i + 16
// Dims past head_dim in the last block hold anything.

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

namespace mirage::kernels {

inline constexpr int kKvBlock = 32;

[[nodiscard, gnu::always_inline]] constexpr int32_t KvBlocks(int32_t head_dim) {
  return (head_dim + kKvBlock - 1) / kKvBlock;
}

// Bytes of the values of one slot in a block of a quantised part.
[[nodiscard, gnu::always_inline]] constexpr int32_t KvBlockBytes(KvType type) {
  return type == KvType::kQ4_0 ? kKvBlock / 2 : kKvBlock;
}

// Bytes of a part.
[[nodiscard, gnu::always_inline]] constexpr uint64_t KvPartBytes(KvType type, int32_t head_dim) {
  constexpr uint64_t kHalf = sizeof(uint16_t);
  if (type == KvType::kF16) return kHalf * static_cast<uint64_t>(head_dim) * kPageTokens;
  const auto block = kHalf + static_cast<uint64_t>(KvBlockBytes(type));
  return block * static_cast<uint64_t>(KvBlocks(head_dim)) * kPageTokens;
}

// Bytes of a page before it is rounded up to what memory is handed out by.
[[nodiscard, gnu::always_inline]] constexpr uint64_t KvPageBytes(KvType type, int32_t kv_heads,
                                                                 int32_t head_dim) {
  return 2 * static_cast<uint64_t>(kv_heads) * KvPartBytes(type, head_dim);
}

// The page of a sequence that holds absolute position t >= first_position.
[[nodiscard, gnu::always_inline]] inline std::byte* PageOf(const KvLayer& layer,
                                                           const SequenceView& sequence,
                                                           int64_t t) {
  const uint64_t page = sequence.pages[(t - sequence.first_position) / kPageTokens];
  return layer.base + page * layer.page_bytes;
}

[[nodiscard, gnu::always_inline]] inline std::byte* PageK(const KvLayer& layer, std::byte* page,
                                                          int32_t kv_head) {
  return page + static_cast<uint64_t>(kv_head) * KvPartBytes(layer.type, layer.head_dim);
}

[[nodiscard, gnu::always_inline]] inline std::byte* PageV(const KvLayer& layer, std::byte* page,
                                                          int32_t kv_head) {
  return PageK(layer, page, layer.kv_heads + kv_head);
}

[[nodiscard, gnu::always_inline]] inline uint16_t* PartHalves(std::byte* part) {
  return reinterpret_cast<uint16_t*>(part);
}

// Of a quantised part: [block][slot].
[[nodiscard, gnu::always_inline]] inline uint16_t* PartScales(std::byte* part) {
  return reinterpret_cast<uint16_t*>(part);
}

[[nodiscard, gnu::always_inline]] inline uint8_t* PartValues(std::byte* part, int32_t head_dim) {
  return reinterpret_cast<uint8_t*>(part) +
         sizeof(uint16_t) * static_cast<size_t>(KvBlocks(head_dim)) * kPageTokens;
}

}  // namespace mirage::kernels
