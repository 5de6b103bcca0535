// SPDX-License-Identifier: Apache-2.0
#pragma once

// AnnouncedOrder: which regions the coming acquires will ask for, and when each is needed next.
//
// Positions count entries of the order. An acquire consumes its entry and passes over those before
// it. One thread at a time.

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "memory/region.h"

namespace mirage::memory {

class AnnouncedOrder {
 public:
  using Position = uint32_t;
  static constexpr Position kNever = std::numeric_limits<Position>::max();

  explicit AnnouncedOrder(size_t regions) : next_use_(regions, kNever) {}

  void Replace(std::span<const RegionIndex> order);
  // Puts acquires that come before all those left.
  void Prepend(std::span<const RegionIndex> regions);
  // The region is acquired now.
  void Consume(RegionIndex region);

  [[nodiscard]] Position position() const { return position_; }  // of the first entry not consumed
  [[nodiscard]] Position end() const { return static_cast<Position>(order_.size()); }
  [[nodiscard]] RegionIndex at(Position position) const { return order_[position]; }
  [[nodiscard]] Position next_use(RegionIndex region) const { return next_use_[region]; }

 private:
  std::vector<RegionIndex> order_;
  std::vector<Position> following_;  // per entry: the next entry of the same region
  std::vector<Position> next_use_;   // per region, from position_ on
  Position position_ = 0;
};

}  // namespace mirage::memory
