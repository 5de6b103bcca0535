// SPDX-License-Identifier: Apache-2.0
#include "memory/announced_order.h"

namespace mirage::memory {

void AnnouncedOrder::Replace(std::span<const RegionIndex> order) {
  for (Position i = position_; i < end(); ++i) next_use_[order_[i]] = kNever;
  order_.assign(order.begin(), order.end());
  following_.resize(order_.size());
  position_ = 0;
  for (Position i = end(); i-- > 0;) {
    following_[i] = next_use_[order_[i]];
    next_use_[order_[i]] = i;
  }
}

void AnnouncedOrder::Prepend(std::span<const RegionIndex> regions) {
  std::vector<RegionIndex> order(regions.begin(), regions.end());
  order.insert(order.end(), order_.begin() + position_, order_.end());
  Replace(order);
}

void AnnouncedOrder::Consume(RegionIndex region) {
  const Position consumed = next_use_[region];
  if (consumed == kNever) return;
  for (; position_ <= consumed; ++position_) next_use_[order_[position_]] = following_[position_];
}

}  // namespace mirage::memory
