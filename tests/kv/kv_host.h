// SPDX-License-Identifier: Apache-2.0
#pragma once

// KvHost: an arena whose chunk is one OS page, so that what the ledger says is exact to the page.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "kv/page_pool.h"
#include "memory/arena.h"
#include "memory/ledger.h"
#include "platform/sim_device.h"

namespace mirage::kv {

struct KvHost {
  static constexpr uint64_t kChunkBytes = 4096;

  explicit KvHost(uint64_t limit = UINT64_MAX)
      : ledger(limit), device(clock, Options()), arena(device, ledger) {}

  [[nodiscard]] std::unique_ptr<PagePool> Pool(Geometry geometry,
                                               uint64_t address_bytes = uint64_t{1} << 24) {
    auto pool = PagePool::Create(arena, std::move(geometry), address_bytes);
    return pool ? std::move(*pool) : nullptr;
  }
  [[nodiscard]] uint64_t used() const { return ledger.Snapshot().used; }

  VirtualClock clock;
  memory::Ledger ledger;
  platform::SimDevice device;
  memory::Arena arena;

 private:
  static platform::SimOptions Options() {
    platform::SimOptions options;
    options.chunk_bytes = kChunkBytes;
    return options;
  }
};

// Pages of 4 KiB for head_dim 32, 8 KiB for 64, ...
inline LayerGroup Full(std::vector<int32_t> layers, int32_t head_dim = 32) {
  return {CacheKind::kFull, 0, 1, head_dim, std::move(layers)};
}
inline LayerGroup Window(std::vector<int32_t> layers, int64_t window, int32_t head_dim = 32) {
  return {CacheKind::kWindow, window, 1, head_dim, std::move(layers)};
}
// States of 4 KiB.
inline LayerGroup State(std::vector<int32_t> layers, int32_t snapshots = 4,
                        uint64_t state_bytes = 4096) {
  LayerGroup group{CacheKind::kState, 0, 0, 0, std::move(layers)};
  group.state_bytes = state_bytes;
  group.snapshots = snapshots;
  return group;
}

// Where a test keeps its mark for one position of one layer.
inline std::byte* SlotOf(const PagePool& pool, int32_t layer, PageNumber page, int64_t position) {
  const kernels::KvLayer where = pool.layer(layer);
  return where.base + page * where.page_bytes +
         static_cast<uint64_t>(position % kernels::kPageTokens) * sizeof(uint64_t);
}
inline void Mark(const PagePool& pool, int32_t layer, PageNumber page, int64_t position,
                 uint64_t mark) {
  std::memcpy(SlotOf(pool, layer, page, position), &mark, sizeof mark);
}
inline uint64_t MarkAt(const PagePool& pool, int32_t layer, PageNumber page, int64_t position) {
  uint64_t mark = 0;
  std::memcpy(&mark, SlotOf(pool, layer, page, position), sizeof mark);
  return mark;
}

}  // namespace mirage::kv
