// SPDX-License-Identifier: Apache-2.0
#include "memory/policy/lend_order.h"

#include <algorithm>
#include <limits>

namespace mirage::memory {
namespace {

// Where the middle of each region is, in bytes of a pass.
std::vector<uint64_t> Middles(std::span<const uint64_t> region_bytes) {
  std::vector<uint64_t> middles;
  uint64_t begin = 0;
  for (const uint64_t bytes : region_bytes) {
    middles.push_back(begin + bytes / 2);
    begin += bytes;
  }
  return middles;
}

uint64_t Distance(uint64_t a, uint64_t b, uint64_t around) {
  const uint64_t apart = a > b ? a - b : b - a;
  return std::min(apart, around - apart);
}

// Each next one is the one farthest from all before it.
void AppendFarthest(std::span<const uint64_t> middles, uint64_t around,
                    std::vector<RegionIndex> left, std::vector<RegionIndex>* order) {
  std::vector<uint64_t> nearest(left.size(), std::numeric_limits<uint64_t>::max());
  for (size_t i = 0; i < left.size(); ++i)
    for (const RegionIndex chosen : *order)
      nearest[i] = std::min(nearest[i], Distance(middles[left[i]], middles[chosen], around));
  while (!left.empty()) {
    const auto best = std::max_element(nearest.begin(), nearest.end());
    const auto at = best - nearest.begin();
    const RegionIndex chosen = left[static_cast<size_t>(at)];
    order->push_back(chosen);
    left.erase(left.begin() + at);
    nearest.erase(best);
    for (size_t i = 0; i < left.size(); ++i)
      nearest[i] = std::min(nearest[i], Distance(middles[left[i]], middles[chosen], around));
  }
}

}  // namespace

std::vector<RegionIndex> LendOrder(std::span<const uint64_t> region_bytes) {
  std::vector<RegionIndex> order;
  if (region_bytes.empty()) return order;
  const std::vector<uint64_t> middles = Middles(region_bytes);
  const uint64_t around = middles.back() + region_bytes.back() - region_bytes.back() / 2;
  const uint64_t largest = *std::max_element(region_bytes.begin(), region_bytes.end());
  std::vector<RegionIndex> large;
  std::vector<RegionIndex> small;
  for (RegionIndex i = 0; i < region_bytes.size(); ++i)
    (4 * region_bytes[i] >= largest ? large : small).push_back(i);
  AppendFarthest(middles, around, std::move(large), &order);
  AppendFarthest(middles, around, std::move(small), &order);
  return order;
}

}  // namespace mirage::memory
