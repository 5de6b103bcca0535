// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where things are within the pages of one layer (kernels/ops.h, KvLayer). Any thread.

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

namespace mirage::kernels {

// The page of a sequence that holds absolute position t >= first_position.
[[nodiscard, gnu::always_inline]] inline std::byte* PageOf(const KvLayer& layer,
                                                           const SequenceView& sequence,
                                                           int64_t t) {
  const uint64_t page = sequence.pages[(t - sequence.first_position) / kPageTokens];
  return layer.base + page * layer.page_bytes;
}

// K of one kv head: [head_dim][slot].
[[nodiscard, gnu::always_inline]] inline uint16_t* PageK(const KvLayer& layer, std::byte* page,
                                                         int32_t kv_head) {
  return reinterpret_cast<uint16_t*>(page) +
         static_cast<int64_t>(kv_head) * layer.head_dim * kPageTokens;
}

// V of one kv head: [slot][head_dim].
[[nodiscard, gnu::always_inline]] inline uint16_t* PageV(const KvLayer& layer, std::byte* page,
                                                         int32_t kv_head) {
  return reinterpret_cast<uint16_t*>(page) +
         static_cast<int64_t>(layer.kv_heads + kv_head) * layer.head_dim * kPageTokens;
}

}  // namespace mirage::kernels
