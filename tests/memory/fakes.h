// SPDX-License-Identifier: Apache-2.0
#pragma once

// A model made of numbers: sources whose bytes follow from the region's index, and the pieces a
// store stands on.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "memory/arena.h"
#include "memory/ledger.h"
#include "memory/region.h"
#include "memory/region_store.h"
#include "memory/transfer.h"
#include "platform/device.h"
#include "platform/thread_pool.h"

namespace mirage::memory {

// The byte at `offset` of region `index` of a model drawn from `seed`.
inline std::byte ContentAt(uint32_t seed, RegionIndex index, uint64_t offset) {
  uint64_t x =
      (uint64_t{seed} << 40) ^ (uint64_t{index} << 24) ^ (offset / 8) ^ 0x9E3779B97F4A7C15u;
  x ^= x >> 31;
  x *= 0xBF58476D1CE4E5B9u;
  x ^= x >> 29;
  return static_cast<std::byte>(x >> (8 * (offset % 8)));
}

inline bool HoldsRegion(const std::byte* data, uint32_t seed, RegionIndex index, uint64_t bytes) {
  for (uint64_t i = 0; i < bytes; i += 61)  // every page and nearly every line
    if (data[i] != ContentAt(seed, index, i)) return false;
  return data[bytes - 1] == ContentAt(seed, index, bytes - 1);
}

class FakeSource : public RegionSource {
 public:
  explicit FakeSource(uint32_t seed = 1) : seed_(seed) {}

  Status Fill(RegionIndex region, std::span<std::byte> dst) const override {
    fills.fetch_add(1);
    {
      std::unique_lock lock(mutex_);
      order_.push_back(region);
      changed_.notify_all();
      changed_.wait(lock, [&] { return !held_; });
      if (const auto fault = failing_.find(region); fault != failing_.end()) {
        failing_.erase(fault);
        return Fail(Code::kIo, "the disk refuses");
      }
    }
    for (uint64_t i = 0; i < dst.size(); ++i) dst[i] = ContentAt(seed_, region, i);
    return {};
  }
  const std::byte* Mapped(RegionIndex region) const override {
    return region < mapped.size() && !mapped[region].empty() ? mapped[region].data() : nullptr;
  }
  void DropMapped(RegionIndex region) const override { dropped.push_back(region); }

  // Fills block until Release.
  void Hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  // Blocks until `count` fills have begun since the source was made.
  void AwaitBegun(size_t count) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return order_.size() >= count; });
  }
  // The next fill of the region fails; every mention makes one more fail.
  void FailNext(RegionIndex region) {
    const std::lock_guard lock(mutex_);
    failing_.insert(region);
  }
  std::vector<RegionIndex> FillOrder() const {
    const std::lock_guard lock(mutex_);
    return order_;
  }
  // Copies of these regions serve as the mapped file.
  void MapAll(const std::vector<RegionInfo>& regions) {
    mapped.resize(regions.size());
    for (RegionIndex i = 0; i < regions.size(); ++i) {
      mapped[i].resize(regions[i].bytes);
      for (uint64_t at = 0; at < regions[i].bytes; ++at) mapped[i][at] = ContentAt(seed_, i, at);
    }
  }

  mutable std::atomic<int> fills{0};
  std::vector<std::vector<std::byte>> mapped;
  mutable std::vector<RegionIndex> dropped;

 private:
  const uint32_t seed_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable std::vector<RegionIndex> order_;
  mutable std::multiset<RegionIndex> failing_;
  bool held_ = false;
};

inline std::vector<RegionInfo> MakeRegions(const std::vector<uint64_t>& bytes) {
  std::vector<RegionInfo> regions;
  for (uint32_t i = 0; i < bytes.size(); ++i) regions.push_back({{0, i, 0, 0, 0}, bytes[i]});
  return regions;
}

// A host device with everything above it; members end in the right order.
struct Host {
  explicit Host(uint64_t limit = UINT64_MAX,
                platform::HostStreams streams = platform::HostStreams::kInline, int workers = 2)
      : ledger(limit),
        device(platform::MakeHostDevice(pool, clock, streams)),
        arena(*device, ledger),
        transfer(MakeHostTransferEngine(workers)) {}

  std::unique_ptr<RegionStore> Store(std::vector<RegionInfo> regions,
                                     std::shared_ptr<const RegionSource> source,
                                     RegionStore::Options options = {}) {
    auto store = RegionStore::Create(arena, *transfer, clock, std::move(regions), std::move(source),
                                     options);
    return store ? std::move(*store) : nullptr;
  }
  std::unique_ptr<platform::Stream> Stream() { return std::move(device->CreateStream().value()); }

  platform::ThreadPool pool{1};
  SteadyClock clock;
  Ledger ledger;
  std::unique_ptr<platform::Device> device;
  Arena arena;
  std::unique_ptr<TransferEngine> transfer;
};

}  // namespace mirage::memory
