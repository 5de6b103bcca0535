// SPDX-License-Identifier: Apache-2.0
#include "kv/page_pool.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/kv/kv_host.h"

namespace mirage::kv {
namespace {

using Pages = std::vector<PageNumber>;

TEST(LayerGroup, PageBytesHoldKeysAndValuesOf32PositionsInWholeOsPages) {
  EXPECT_EQ((LayerGroup{CacheKind::kFull, 0, 3, 64, {0}}.page_bytes()), 2u * 3 * 64 * 32 * 2);
  EXPECT_EQ((LayerGroup{CacheKind::kFull, 0, 1, 48, {0}}.page_bytes()), 8192u);  // 6144 rounded up
  EXPECT_EQ((LayerGroup{CacheKind::kFull, 0, 3, 64, {0, 2, 5}}.bytes_per_page()),
            3u * 2 * 3 * 64 * 32 * 2);
}

TEST(PagePool, TakesLowestNumbersFirst) {
  KvHost host;
  auto pool = host.Pool({Full({0})});
  Pages pages;
  ASSERT_TRUE(pool->Take(0, 4, &pages));
  EXPECT_EQ(pages, (Pages{0, 1, 2, 3}));
  pool->Drop(0, Pages{2, 0});
  Pages again;
  ASSERT_TRUE(pool->Take(0, 3, &again));
  EXPECT_EQ(again, (Pages{0, 2, 4}));
}

TEST(PagePool, APageIsBackedInEveryLayerWhileItIsHeldAndNoLonger) {
  KvHost host;
  auto pool = host.Pool({Full({0, 1, 2})});
  EXPECT_EQ(host.used(), 0u);
  Pages pages;
  ASSERT_TRUE(pool->Take(0, 2, &pages));
  EXPECT_EQ(host.used(), 2u * 3 * 4096);
  EXPECT_EQ(host.ledger.Snapshot().by_owner[static_cast<size_t>(memory::Owner::kKv)], host.used());
  for (const PageNumber page : pages)
    for (const int32_t layer : {0, 1, 2}) Mark(*pool, layer, page, 31, page * 10 + layer);
  for (const PageNumber page : pages)
    for (const int32_t layer : {0, 1, 2})
      EXPECT_EQ(MarkAt(*pool, layer, page, 31), page * 10 + layer);
  pool->Drop(0, Pages{pages[0]});
  EXPECT_EQ(host.used(), 3u * 4096);
  pool->Drop(0, Pages{pages[1]});
  EXPECT_EQ(host.used(), 0u);
  EXPECT_EQ(pool->Stats().pages_held, 0u);
  EXPECT_EQ(pool->Stats().bytes_peak, 2u * 3 * 4096);
}

TEST(PagePool, TakeBeyondTheLimitChangesNothingAndSaysTheBytes) {
  KvHost host(5 * 2 * 4096 + 4096);  // five pages of two layers, and half of a sixth
  auto pool = host.Pool({Full({0, 1})});
  Pages pages;
  ASSERT_TRUE(pool->Take(0, 2, &pages));
  const uint64_t used = host.used();
  const Status refused = pool->Take(0, 4, &pages);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  EXPECT_EQ(refused.error().needed_bytes, 4u * 2 * 4096);
  EXPECT_LT(refused.error().available_bytes, refused.error().needed_bytes);
  EXPECT_EQ(pages, (Pages{0, 1}));
  EXPECT_EQ(host.used(), used);
  EXPECT_EQ(pool->Stats().pages_held, 2u);
  EXPECT_TRUE(pool->CheckInvariants());
  ASSERT_TRUE(pool->Take(0, 3, &pages));  // what there is can still be had
  EXPECT_EQ(pages, (Pages{0, 1, 2, 3, 4}));
}

TEST(PagePool, TakeBeyondTheReservedAddressesChangesNothing) {
  KvHost host;
  auto pool = host.Pool({Full({0})}, 3 * 4096);
  Pages pages;
  ASSERT_TRUE(
      pool->Take(0, 4, &pages));  // one more than the bytes, so that rounding never lacks one
  const Status refused = pool->Take(0, 1, &pages);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  EXPECT_EQ(pages.size(), 4u);
  EXPECT_TRUE(pool->CheckInvariants());
}

TEST(PagePool, ASharedPageStaysUntilItsLastHolderLetsGo) {
  KvHost host;
  auto pool = host.Pool({Full({0})});
  Pages pages;
  ASSERT_TRUE(pool->Take(0, 1, &pages));
  Mark(*pool, 0, pages[0], 7, 42);
  pool->Share(0, pages);
  pool->Share(0, pages);
  EXPECT_EQ(pool->holders(0, pages[0]), 3);
  pool->Drop(0, pages);
  pool->Drop(0, pages);
  EXPECT_EQ(pool->holders(0, pages[0]), 1);
  EXPECT_EQ(MarkAt(*pool, 0, pages[0], 7), 42u);
  EXPECT_EQ(host.used(), 4096u);
  pool->Drop(0, pages);
  EXPECT_EQ(pool->holders(0, pages[0]), 0);
  EXPECT_EQ(host.used(), 0u);
  EXPECT_TRUE(pool->CheckInvariants());
}

TEST(PagePool, GroupsOfUnlikePagesHaveNumbersAndAddressesOfTheirOwn) {
  KvHost host;
  auto pool = host.Pool({Full({0, 2}, 64), Window({1}, 64, 32)});
  Pages full;
  Pages window;
  ASSERT_TRUE(pool->Take(0, 2, &full));
  ASSERT_TRUE(pool->Take(1, 3, &window));
  EXPECT_EQ(host.used(), 2u * 2 * 8192 + 3u * 4096);
  EXPECT_EQ(window, (Pages{0, 1, 2}));
  std::vector<std::byte*> slots;
  for (const PageNumber page : full)
    for (const int32_t layer : {0, 2}) slots.push_back(SlotOf(*pool, layer, page, 0));
  for (const PageNumber page : window) slots.push_back(SlotOf(*pool, 1, page, 0));
  std::sort(slots.begin(), slots.end());
  EXPECT_EQ(std::adjacent_find(slots.begin(), slots.end()), slots.end());
}

TEST(PagePool, PoolsOfTwoGeometriesDrawFromOneLedger) {
  KvHost host(8 * 4096);
  auto small = host.Pool({Full({0})});         // 4 KiB a page
  auto large = host.Pool({Full({0, 1}, 64)});  // 16 KiB a page
  Pages of_small;
  Pages of_large;
  ASSERT_TRUE(large->Take(0, 1, &of_large));
  ASSERT_TRUE(small->Take(0, 4, &of_small));
  EXPECT_FALSE(small->Take(0, 1, &of_small));
  EXPECT_FALSE(large->Take(0, 1, &of_large));
  small->Drop(0, of_small);  // what one gives back the other can have
  EXPECT_TRUE(large->Take(0, 1, &of_large));
  EXPECT_EQ(host.used(), 8u * 4096);
  EXPECT_TRUE(small->CheckInvariants());
  EXPECT_TRUE(large->CheckInvariants());
}

TEST(PagePool, ItsEndGivesBackAddressesAndBytes) {
  KvHost host;
  {
    auto pool = host.Pool({Full({0, 1})});
    Pages pages;
    ASSERT_TRUE(pool->Take(0, 5, &pages));
    EXPECT_GT(host.used(), 0u);
  }
  EXPECT_EQ(host.used(), 0u);
}

}  // namespace
}  // namespace mirage::kv
