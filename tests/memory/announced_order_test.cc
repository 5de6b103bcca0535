// SPDX-License-Identifier: Apache-2.0
#include "memory/announced_order.h"

#include <gtest/gtest.h>

#include <vector>

namespace mirage::memory {
namespace {

constexpr AnnouncedOrder::Position kNever = AnnouncedOrder::kNever;

TEST(AnnouncedOrder, ConsumingPassesOverEntriesBefore) {
  AnnouncedOrder order(5);
  const std::vector<RegionIndex> regions = {3, 1, 4, 1, 2};
  order.Replace(regions);
  EXPECT_EQ(order.next_use(1), 1u);
  EXPECT_EQ(order.next_use(0), kNever);
  order.Consume(4);
  EXPECT_EQ(order.position(), 3u);
  EXPECT_EQ(order.next_use(3), kNever);
  EXPECT_EQ(order.next_use(1), 3u);
  order.Consume(3);  // not announced any more
  EXPECT_EQ(order.position(), 3u);
  order.Consume(2);
  EXPECT_EQ(order.position(), order.end());
  EXPECT_EQ(order.next_use(1), kNever);
}

TEST(AnnouncedOrder, ReplacingForgetsWhatWasAnnounced) {
  AnnouncedOrder order(3);
  order.Replace(std::vector<RegionIndex>{0, 1, 2, 0});
  order.Consume(0);
  order.Replace(std::vector<RegionIndex>{2});
  EXPECT_EQ(order.next_use(0), kNever);
  EXPECT_EQ(order.next_use(1), kNever);
  EXPECT_EQ(order.next_use(2), 0u);
  order.Replace({});
  EXPECT_EQ(order.next_use(2), kNever);
}

TEST(AnnouncedOrder, WhatIsPrependedComesBeforeWhatIsLeft) {
  AnnouncedOrder order(6);
  order.Replace(std::vector<RegionIndex>{0, 1, 2, 1, 3});
  order.Consume(1);
  order.Prepend(std::vector<RegionIndex>{5, 3});
  std::vector<RegionIndex> left;
  for (AnnouncedOrder::Position i = order.position(); i < order.end(); ++i)
    left.push_back(order.at(i));
  EXPECT_EQ(left, (std::vector<RegionIndex>{5, 3, 2, 1, 3}));
  EXPECT_EQ(order.next_use(0), kNever);
  EXPECT_EQ(order.next_use(5), 0u);
  EXPECT_EQ(order.next_use(3), 1u);
  order.Consume(3);
  EXPECT_EQ(order.next_use(5), kNever);
  EXPECT_EQ(order.next_use(3), 4u);
}

}  // namespace
}  // namespace mirage::memory
