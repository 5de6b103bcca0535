// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where a model's regions lie: homes one after the other in index order, slots side by side.
// Whoever plans memory counts with these, and the store lays them out so.

#include <cstdint>
#include <span>
#include <vector>

#include "base/checked.h"

namespace mirage::memory {

inline constexpr uint64_t kRegionAlignment = 64;  // a cache line, and the widest vector
inline constexpr uint64_t kSlotAlignment =
    4096;  // an OS page, so that direct reads may fill a slot

// The first byte of a home whose predecessor ends at `previous_end`.
[[nodiscard]] constexpr uint64_t HomeOffset(uint64_t previous_end) {
  return RoundUp(previous_end, kRegionAlignment);
}

[[nodiscard]] constexpr uint64_t SlotStride(uint64_t largest_region) {
  return RoundUp(largest_region, kSlotAlignment);
}

// What `slots` backed slots take from the ledger.
[[nodiscard]] constexpr uint64_t SlotBytes(uint64_t largest_region, int slots,
                                           uint64_t chunk_bytes) {
  return RoundUp(SlotStride(largest_region) * static_cast<uint64_t>(slots), chunk_bytes);
}

// Counts the chunks that a set of homes keeps backed.
class HomeChunks {
 public:
  HomeChunks(std::span<const uint64_t> region_bytes, uint64_t chunk_bytes);

  void Add(size_t region);
  void Remove(size_t region);
  // What the ledger would be asked for if the region's home were backed too.
  [[nodiscard]] uint64_t CostOf(size_t region) const;
  [[nodiscard]] uint64_t bytes() const { return backed_ * chunk_bytes_; }

 private:
  struct Span {
    size_t begin;
    size_t end;
  };

  const uint64_t chunk_bytes_;
  std::vector<Span> spans_;      // per region
  std::vector<uint32_t> users_;  // per chunk
  uint64_t backed_ = 0;
};

}  // namespace mirage::memory
