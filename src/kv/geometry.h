// SPDX-License-Identifier: Apache-2.0
#pragma once

// The shape of a model's cache: what a page of each layer weighs and which layers share page
// tables.

#include <cstdint>
#include <vector>

#include "base/checked.h"
#include "kernels/kv_page.h"
#include "kernels/ops.h"

namespace mirage::kv {

using KvType = kernels::KvType;

// How the bytes of a page are arranged (kernels/kv_page.h), for whoever keeps them longer than a
// process lives. A change of the arrangement changes the number.
[[nodiscard]] constexpr uint32_t PageLayout(KvType type) {
  switch (type) {
    case KvType::kF16:
      return 1;
    case KvType::kQ8_0:
      return 2;
    case KvType::kQ4_0:
      break;
  }
  return 3;
}

enum class CacheKind : uint8_t {
  kFull,    // every position since the start
  kWindow,  // the last `window` positions
};

// Layers of equal cache kind, window and page size: one page table serves them all.
struct LayerGroup {
  CacheKind kind = CacheKind::kFull;
  int64_t window = 0;  // positions a query sees, itself included; 0 for kFull
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  std::vector<int32_t> layers;
  KvType type = KvType::kF16;

  // K then V of 32 positions of one layer, rounded up to 4 KiB.
  [[nodiscard]] uint64_t page_bytes() const {
    return RoundUp(kernels::KvPageBytes(type, kv_heads, head_dim), 4096);
  }
  // One page of every layer of the group.
  [[nodiscard]] uint64_t bytes_per_page() const { return page_bytes() * layers.size(); }
};

using Geometry = std::vector<LayerGroup>;

// The oldest position that a query at `position` sees.
[[nodiscard]] constexpr int64_t FirstSeen(const LayerGroup& group, int64_t position) {
  if (group.kind != CacheKind::kWindow || position < group.window) return 0;
  return position - group.window + 1;
}

// The most pages of one group that a sequence of up to `tokens` tokens holds while `step` of them
// are computed. A window's ends fall anywhere in a page.
[[nodiscard]] constexpr int64_t PagesFor(const LayerGroup& group, int64_t tokens, int64_t step) {
  constexpr int64_t kPage = kernels::kPageTokens;
  const int64_t all = tokens / kPage + (tokens % kPage != 0 ? 1 : 0);
  if (group.kind != CacheKind::kWindow) return all;
  const int64_t span = group.window + step;
  const int64_t windowed = span / kPage + (span % kPage != 0 ? 1 : 0) + 1;
  return windowed < all ? windowed : all;
}

}  // namespace mirage::kv
