// SPDX-License-Identifier: Apache-2.0
#include "memory/policy/lend_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace mirage::memory {
namespace {

TEST(LendOrder, HoldsEveryRegionOnce) {
  std::mt19937 random(1);
  for (size_t count : {0, 1, 2, 7, 100}) {
    std::vector<uint64_t> bytes(count);
    for (uint64_t& size : bytes) size = 1 + random() % 1000;
    std::vector<RegionIndex> order = LendOrder(bytes);
    ASSERT_EQ(order.size(), count);
    std::sort(order.begin(), order.end());
    for (RegionIndex i = 0; i < count; ++i) EXPECT_EQ(order[i], i);
  }
}

// The longest run of bytes between two lent ones is at most twice what it would be if they lay
// evenly, around the end of a pass too.
TEST(LendOrder, LentRegionsLieAboutEvenly) {
  const std::vector<uint64_t> bytes(60, 100);
  const std::vector<RegionIndex> order = LendOrder(bytes);
  for (size_t lent = 2; lent <= 30; ++lent) {
    std::vector<RegionIndex> chosen(order.begin(), order.begin() + static_cast<ptrdiff_t>(lent));
    std::sort(chosen.begin(), chosen.end());
    RegionIndex longest = chosen.front() + 60 - chosen.back();
    for (size_t i = 1; i < lent; ++i) longest = std::max(longest, chosen[i] - chosen[i - 1]);
    EXPECT_LE(longest, 2 * (60 / lent) + 1) << lent;
  }
}

TEST(LendOrder, SmallRegionsComeLast) {
  const std::vector<RegionIndex> order = LendOrder(std::vector<uint64_t>{1000, 10, 1000, 10, 900});
  const std::vector<RegionIndex> last(order.end() - 2, order.end());
  EXPECT_TRUE(
      std::is_permutation(last.begin(), last.end(), std::vector<RegionIndex>{1, 3}.begin()));
}

}  // namespace
}  // namespace mirage::memory
