// SPDX-License-Identifier: Apache-2.0
#pragma once

// The shape of a model's cache: what a page of each layer weighs and which layers share page
// tables.

#include <algorithm>
#include <bit>
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
  kState,   // what a recurrent layer has made of all positions: a state of fixed size
};

// Layers of equal cache kind, window and page size: one page table serves them all.
//
// A page of a kState group is the state of each of its layers after some number of tokens. A state
// can be advanced and not taken back: a sequence goes on from one that is there or from its start.
struct LayerGroup {
  CacheKind kind = CacheKind::kFull;
  int64_t window = 0;  // positions a query sees, itself included; 0 for kFull
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  std::vector<int32_t> layers;
  KvType type = KvType::kF16;
  uint64_t state_bytes = 0;  // kState: of one layer
  int32_t snapshots = 1;     // kState: the most states a sequence keeps to go back to
  // kState: how the bytes of a state are arranged, at least 1. A change of the arrangement changes
  // the number.
  uint32_t state_layout = 1;

  // K then V of 32 positions of one layer, or its state; rounded up to 4 KiB.
  [[nodiscard]] uint64_t page_bytes() const {
    return RoundUp(
        kind == CacheKind::kState ? state_bytes : kernels::KvPageBytes(type, kv_heads, head_dim),
        4096);
  }
  // One page of every layer of the group.
  [[nodiscard]] uint64_t bytes_per_page() const { return page_bytes() * layers.size(); }
};

using Geometry = std::vector<LayerGroup>;

// What the arena backs for so many pages of each of the group's layers, in whole chunks per layer;
// at most kTooManyBytes.
[[nodiscard]] inline uint64_t BackedBytes(const LayerGroup& group, uint64_t pages,
                                          uint64_t chunk_bytes) {
  const uint64_t of_layer =
      std::min(CheckedMul(pages, group.page_bytes()).value_or(kTooManyBytes), kTooManyBytes);
  return std::min(CheckedMul<uint64_t>(RoundUp(of_layer, chunk_bytes), group.layers.size())
                      .value_or(kTooManyBytes),
                  kTooManyBytes);
}

// Whether a sequence whose newest border of a page is border `newest` keeps the state at `border`
// (after 32 * border tokens), when it keeps `most`: the newest one and, for k = 0, 1, ..., the last
// but one that is a multiple of 2^k. So one that goes back by d borders, within the reach of
// `most`, finds a state less than 4 * d borders back; `most` states reach 2^(most - 2) borders.
// What is kept at one border is that border and what was kept at the one before.
[[nodiscard]] constexpr bool KeepsSnapshot(int64_t border, int64_t newest, int32_t most) {
  if (border <= 0 || border > newest || most < 1) return false;
  if (border == newest) return true;
  for (int32_t k = 0; k + 1 < most && (newest >> k) > 1; ++k) {
    const int64_t kept = ((newest >> k) - 1) << k;
    if (kept <= border) return kept == border;
  }
  return false;
}

// Whether the state after `tokens` tokens is one of those.
[[nodiscard]] constexpr bool IsSnapshot(const LayerGroup& group, int64_t tokens, int64_t length) {
  constexpr int64_t kPage = kernels::kPageTokens;
  return tokens % kPage == 0 && KeepsSnapshot(tokens / kPage, length / kPage, group.snapshots);
}

// The oldest position that a query at `position` sees.
[[nodiscard]] constexpr int64_t FirstSeen(const LayerGroup& group, int64_t position) {
  if (group.kind != CacheKind::kWindow || position < group.window) return 0;
  return position - group.window + 1;
}

// Whether a step also writes states that are only kept to go back to, and to be found by others.
enum class Snapshots : uint8_t { kSkip, kTake };

// The most pages of one group that a sequence of up to `tokens` tokens holds while `step` of them
// are computed. A window's ends fall anywhere in a page. Of states those to go back to, the one
// that is read and the one that is written; those that guesses take besides are not planned for.
[[nodiscard]] constexpr int64_t PagesFor(const LayerGroup& group, int64_t tokens, int64_t step,
                                         Snapshots snapshots = Snapshots::kTake) {
  constexpr int64_t kPage = kernels::kPageTokens;
  const int64_t all = tokens / kPage + (tokens % kPage != 0 ? 1 : 0);
  if (group.kind == CacheKind::kState) {
    const int64_t borders = tokens / kPage;
    // KeepsSnapshot has no more than that of so many borders.
    const int64_t kept =
        snapshots == Snapshots::kSkip
            ? 0
            : std::min<int64_t>(group.snapshots, std::bit_width(static_cast<uint64_t>(borders)));
    const int64_t passed = step > 1 ? (step - 2) / kPage + 1 : 0;  // by a step, at most
    return std::min(kept + std::min(kept, passed), borders) + std::min<int64_t>(tokens, 2);
  }
  if (group.kind != CacheKind::kWindow) return all;
  const int64_t span = group.window + step;
  const int64_t windowed = span / kPage + (span % kPage != 0 ? 1 : 0) + 1;
  return windowed < all ? windowed : all;
}

// No sequence of `tokens` tokens gets on with fewer: that many, however small its steps are.
[[nodiscard]] constexpr int64_t LeastPagesFor(const LayerGroup& group, int64_t tokens) {
  if (group.kind == CacheKind::kState) return tokens > 0 ? 1 : 0;
  return PagesFor(group, tokens, 1) - (group.kind == CacheKind::kWindow ? 1 : 0);
}

}  // namespace mirage::kv
