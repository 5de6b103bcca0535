// SPDX-License-Identifier: Apache-2.0
#include "kv/sequence_cache.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/kv/kv_host.h"

namespace mirage::kv {
namespace {

constexpr uint64_t kPageBytes = 4096;

// Reserves and commits in steps of `step`.
void GrowTo(SequenceCache& cache, int64_t end, int64_t step) {
  while (cache.length() < end) {
    const int64_t next = std::min(end, cache.length() + step);
    ASSERT_TRUE(cache.Reserve(next));
    cache.Commit(next);
  }
}

TEST(SequenceCache, HoldsAPageForEvery32PositionsBegun) {
  KvHost host;
  auto pool = host.Pool({Full({0})});
  SequenceCache cache(*pool);
  ASSERT_TRUE(cache.Reserve(1));
  EXPECT_EQ(host.used(), kPageBytes);
  cache.Commit(1);
  ASSERT_TRUE(cache.Reserve(32));
  EXPECT_EQ(host.used(), kPageBytes);
  ASSERT_TRUE(cache.Reserve(33));
  EXPECT_EQ(host.used(), 2 * kPageBytes);
  EXPECT_EQ(cache.length(), 1);
}

TEST(SequenceCache, ASharedCacheKeepsThePagesWhenTheFirstLetsGo) {
  KvHost host;
  auto pool = host.Pool({Full({0}), Window({1}, 64)});
  SequenceCache cache(*pool);
  GrowTo(cache, 200, 10);
  const uint64_t used = host.used();
  {
    const SequenceCache shared = cache.Fork();
    EXPECT_EQ(host.used(), used);
    EXPECT_EQ(shared.length(), 200);
    cache.Clear();
    EXPECT_EQ(host.used(), used);
  }
  EXPECT_EQ(host.used(), 0u);
  EXPECT_TRUE(pool->CheckInvariants());
}

TEST(SequenceCache, WithPagesTakesExtentsOfACacheOfThatLengthOnly) {
  KvHost host;
  auto pool = host.Pool({Full({0}), Window({1}, 64)});
  SequenceCache cache(*pool);
  GrowTo(cache, 200, 10);
  const std::vector<SequenceCache::Extent> good = {cache.extent(0), cache.extent(1)};
  {
    const auto other = SequenceCache::WithPages(*pool, 200, good);
    ASSERT_TRUE(other) << other.error().message;
    EXPECT_EQ(other->length(), 200);
    EXPECT_EQ(other->extent(1).first_position, good[1].first_position);
  }
  const uint64_t used = host.used();
  const auto refused = [&](std::vector<SequenceCache::Extent> extents, int64_t length = 200) {
    const auto made = SequenceCache::WithPages(*pool, length, extents);
    return !made && made.error().code == Code::kCorrupt;
  };
  EXPECT_TRUE(refused({good[0]}));
  EXPECT_TRUE(refused({{0, 6}, good[1]}));
  EXPECT_TRUE(refused({{0, 8}, good[1]}));
  EXPECT_TRUE(refused({{32, 6}, good[1]})) << "a full group begins at 0";
  EXPECT_TRUE(refused({good[0], {160, 2}})) << "the window is seen from position 137";
  EXPECT_TRUE(refused({good[0], {129, 3}}));
  EXPECT_TRUE(refused({good[0], {-32, 8}}));
  EXPECT_TRUE(refused({good[0], {0, INT64_MAX}}));
  EXPECT_TRUE(refused({{0, 7}, {INT64_MAX - 31, 3}}));
  EXPECT_TRUE(refused(good, 100));
  EXPECT_EQ(host.used(), used);
}

TEST(SequenceCache, ACopiedPageHasNothingOfWhatLiesPastTheLength) {
  KvHost host;
  auto pool = host.Pool({Full({0})});
  SequenceCache cache(*pool);
  GrowTo(cache, 40, 40);
  for (int64_t page = 0; page < 2; ++page)
    for (std::byte& byte : cache.PageBytes(0, page, 0)) byte = std::byte{0xff};
  std::vector<std::byte> copy(cache.PageBytes(0, 0, 0).size());
  const auto values = [&](int64_t page) {  // halves that are not zero
    cache.CopyPage(0, page, 0, copy);
    int64_t count = 0;
    for (size_t i = 0; i < copy.size(); i += 2) {
      EXPECT_EQ(copy[i], copy[i + 1]);
      count += copy[i] != std::byte{0} ? 1 : 0;
    }
    return count;
  };
  const LayerGroup shape = pool->geometry()[0];
  const int64_t per_position = int64_t{2} * shape.kv_heads * shape.head_dim;
  EXPECT_EQ(values(0), 32 * per_position);
  EXPECT_EQ(values(1), 8 * per_position);
}

TEST(SequenceCache, QuantizedPagesAreCopiedAsFarAsTheyAreWritten) {
  for (const KvType type : {KvType::kQ8_0, KvType::kQ4_0}) {
    KvHost host(16 * kPageBytes);
    LayerGroup group = Full({0});
    group.type = type;
    auto pool = host.Pool({group});
    SequenceCache cache(*pool);
    GrowTo(cache, 40, 40);
    const auto page = cache.PageBytes(0, 1, 0);
    std::fill(page.begin(), page.end(), std::byte{0xff});
    std::vector<std::byte> copy(page.size());
    cache.CopyPage(0, 1, 0, copy);
    const auto written = std::count(copy.begin(), copy.end(), std::byte{0xff});
    const int64_t per_position = int64_t{2} * group.kv_heads * kernels::KvBlocks(group.head_dim) *
                                 (2 + kernels::KvBlockBytes(type));
    EXPECT_EQ(written, 8 * per_position);
    EXPECT_EQ(std::count(copy.begin(), copy.end(), std::byte{0}),
              static_cast<int64_t>(copy.size()) - written);
  }
}

TEST(SequenceCache, ReserveBeyondTheLimitChangesNothing) {
  KvHost host(6 * kPageBytes);
  auto pool = host.Pool({Full({0}), Window({1}, 64)});
  SequenceCache cache(*pool);
  GrowTo(cache, 40, 40);
  ASSERT_EQ(host.used(), 4 * kPageBytes);
  // The first group's pages would fit, the second's not.
  const Status refused = cache.Reserve(128);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  EXPECT_EQ(cache.length(), 40);
  EXPECT_EQ(host.used(), 4 * kPageBytes);
  EXPECT_TRUE(pool->CheckInvariants());
  EXPECT_TRUE(cache.Reserve(96));
}

TEST(SequenceCache, AFailedReserveKeepsWhatAnEarlierOneReserved) {
  KvHost host(4 * kPageBytes);
  auto pool = host.Pool({Full({0}), Window({1}, 64)});
  SequenceCache cache(*pool);
  ASSERT_TRUE(cache.Reserve(64));
  ASSERT_EQ(host.used(), 4 * kPageBytes);
  EXPECT_FALSE(cache.Reserve(96));
  EXPECT_EQ(host.used(), 4 * kPageBytes);
}

TEST(SequenceCache, RollbackGivesBackWhatWasReservedAndKeepsWhatWasCommitted) {
  KvHost host;
  auto pool = host.Pool({Full({0}), Window({1}, 64)});
  SequenceCache cache(*pool);
  GrowTo(cache, 50, 50);
  const uint64_t used = host.used();
  const PageNumber first = cache.View(0, 0, 1).pages[0];
  Mark(*pool, 0, first, 5, 99);
  ASSERT_TRUE(cache.Reserve(500));
  EXPECT_GT(host.used(), used);
  cache.Rollback();
  EXPECT_EQ(host.used(), used);
  EXPECT_EQ(cache.length(), 50);
  EXPECT_EQ(cache.View(0, 0, 1).pages[0], first);
  EXPECT_EQ(MarkAt(*pool, 0, first, 5), 99u);
}

TEST(SequenceCache, ARollbackBeforeTheFirstCommitLeavesNothing) {
  KvHost host;
  auto pool = host.Pool({Full({0})});
  SequenceCache cache(*pool);
  ASSERT_TRUE(cache.Reserve(100));
  cache.Rollback();
  EXPECT_EQ(host.used(), 0u);
}

TEST(SequenceCache, WindowGroupsLetGoOfPagesOnlyWhenNoLaterQueryCanSeeThem) {
  KvHost host;
  auto pool = host.Pool({Window({0}, 40)});
  SequenceCache cache(*pool);
  for (int64_t length = 1; length <= 300; ++length) {
    ASSERT_TRUE(cache.Reserve(length));
    cache.Commit(length);
    // The next query is at `length` and sees positions from `oldest` on.
    const int64_t oldest = std::max<int64_t>(0, length - 40 + 1);
    const int64_t first = cache.View(0, 0, 1).first_position;
    ASSERT_EQ(first, oldest / 32 * 32) << "at length " << length;
    ASSERT_EQ(pool->Stats().pages_held, static_cast<uint64_t>((length + 31) / 32 - first / 32))
        << "at length " << length;
  }
}

TEST(SequenceCache, AChunkLongerThanTheWindowKeepsItsPagesUntilCommit) {
  KvHost host;
  auto pool = host.Pool({Window({0}, 32)});
  SequenceCache cache(*pool);
  GrowTo(cache, 64, 64);
  ASSERT_TRUE(cache.Reserve(64 + 256));
  // The chunk's first query is at 64 and sees from 33 on; its last at 319.
  EXPECT_EQ(cache.View(0, 0, 256).first_position, 32);
  EXPECT_EQ(pool->Stats().pages_held, 1u + 8u);
  cache.Commit(64 + 256);
  EXPECT_EQ(cache.View(0, 0, 1).first_position, 288);
  EXPECT_EQ(pool->Stats().pages_held, 1u);
}

TEST(SequenceCache, ARolledBackStepLeavesTheWindowAsItWas) {
  KvHost host;
  auto pool = host.Pool({Window({0}, 32)});
  SequenceCache cache(*pool);
  GrowTo(cache, 70, 70);
  const kernels::SequenceView before = cache.View(0, 0, 1);
  const PageNumber oldest = before.pages[0];
  ASSERT_TRUE(cache.Reserve(400));
  cache.Rollback();
  EXPECT_EQ(cache.View(0, 0, 1).first_position, before.first_position);
  EXPECT_EQ(cache.View(0, 0, 1).pages[0], oldest);
  EXPECT_EQ(pool->holders(0, oldest), 1);
}

TEST(SequenceCache, TruncateOfFullAttentionLeavesExactlyWhatWasAskedFor) {
  KvHost host;
  auto pool = host.Pool({Full({0})});
  SequenceCache cache(*pool);
  GrowTo(cache, 100, 100);
  EXPECT_EQ(cache.Truncate(65), 65);
  EXPECT_EQ(cache.length(), 65);
  EXPECT_EQ(host.used(), 3 * kPageBytes);
  EXPECT_EQ(cache.Truncate(64), 64);
  EXPECT_EQ(host.used(), 2 * kPageBytes);
  EXPECT_EQ(cache.Truncate(1000), 64);
  EXPECT_EQ(cache.Truncate(0), 0);
  EXPECT_EQ(host.used(), 0u);
}

TEST(SequenceCache, TruncateKeepsAPositionWhoseWindowIsStillThere) {
  KvHost host;
  auto pool = host.Pool({Full({0}), Window({1}, 40)});
  SequenceCache cache(*pool);
  GrowTo(cache, 200, 200);
  ASSERT_EQ(cache.View(1, 0, 1).first_position, 160);
  // A query at 199 sees from 160 on: the pages from 160 on are there.
  EXPECT_EQ(cache.Truncate(199), 199);
  EXPECT_EQ(cache.View(1, 0, 1).first_position, 160);
}

TEST(SequenceCache, TruncatePastAWindowThatIsGoneLeavesNothingAndSaysSo) {
  KvHost host;
  auto pool = host.Pool({Full({0}), Window({1}, 40)});
  SequenceCache cache(*pool);
  GrowTo(cache, 200, 200);
  // A query at 198 sees from 159 on, and that page was let go.
  EXPECT_EQ(cache.Truncate(198), 0);
  EXPECT_EQ(cache.length(), 0);
  EXPECT_EQ(host.used(), 0u);
  GrowTo(cache, 64, 64);  // it starts again from position 0
  EXPECT_EQ(cache.View(1, 0, 1).first_position, 0);
}

TEST(SequenceCache, TruncateAlsoGivesBackWhatWasOnlyReserved) {
  KvHost host;
  auto pool = host.Pool({Full({0})});
  SequenceCache cache(*pool);
  GrowTo(cache, 40, 40);
  ASSERT_TRUE(cache.Reserve(400));
  EXPECT_EQ(cache.Truncate(40), 40);
  EXPECT_EQ(host.used(), 2 * kPageBytes);
}

TEST(SequenceCache, ViewNamesThePageOfEveryPosition) {
  KvHost host;
  auto pool = host.Pool({Full({0}), Window({1}, 33)});
  SequenceCache other(*pool);
  ASSERT_TRUE(other.Reserve(32));  // so that page numbers are not positions
  SequenceCache cache(*pool);
  GrowTo(cache, 96, 96);
  ASSERT_TRUE(cache.Reserve(130));
  const kernels::SequenceView full = cache.View(0, 3, 34);
  EXPECT_EQ(full.first_position, 0);
  EXPECT_EQ(full.position, 96);
  EXPECT_EQ(full.row0, 3);
  EXPECT_EQ(full.tokens, 34);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(pool->holders(0, full.pages[i]), 1);
  const kernels::SequenceView window = cache.View(1, 3, 34);
  EXPECT_EQ(window.first_position, 64);
  EXPECT_EQ(window.position, 96);
}

TEST(SequenceCache, MovingItMovesThePages) {
  KvHost host;
  auto pool = host.Pool({Full({0})});
  SequenceCache cache(*pool);
  GrowTo(cache, 64, 64);
  SequenceCache moved(std::move(cache));
  EXPECT_EQ(moved.length(), 64);
  SequenceCache assigned(*pool);
  GrowTo(assigned, 96, 96);
  EXPECT_EQ(host.used(), 5 * kPageBytes);
  assigned = std::move(moved);
  EXPECT_EQ(assigned.length(), 64);
  EXPECT_EQ(host.used(), 2 * kPageBytes);
  assigned.Clear();
  EXPECT_EQ(host.used(), 0u);
}

TEST(SequenceCache, ItsEndGivesItsPagesBack) {
  KvHost host;
  auto pool = host.Pool({Full({0}), Window({1}, 64)});
  {
    SequenceCache cache(*pool);
    GrowTo(cache, 100, 7);
    ASSERT_TRUE(cache.Reserve(300));
  }
  EXPECT_EQ(host.used(), 0u);
  EXPECT_TRUE(pool->CheckInvariants());
}

TEST(PagesFor, IsTheMostASequenceHoldsToWithinTheEndsOfAWindow) {
  KvHost host;
  for (const int64_t window : {1, 31, 32, 33, 100, 512})
    for (const int64_t step : {1, 32, 64, 100})
      for (const int64_t tokens : {1, 31, 32, 33, 257, 700}) {
        if (step > tokens) continue;
        auto pool = host.Pool({Full({0}), Window({1}, window)});
        SequenceCache cache(*pool);
        GrowTo(cache, tokens - step, step);
        ASSERT_TRUE(cache.Reserve(tokens));
        const auto held = static_cast<int64_t>(pool->Stats().pages_held);
        const int64_t planned = PagesFor(pool->geometry()[0], tokens, step) +
                                PagesFor(pool->geometry()[1], tokens, step);
        EXPECT_LE(held, planned) << window << " " << step << " " << tokens;
        EXPECT_GE(held, planned - 2) << window << " " << step << " " << tokens;
      }
}

TEST(SequenceCache, AForkHoldsTheSamePagesAndCostsNothing) {
  KvHost host;
  auto pool = host.Pool({Full({0, 2}), Window({1}, 40)});
  SequenceCache cache(*pool);
  GrowTo(cache, 100, 10);
  ASSERT_TRUE(cache.Reserve(200));  // what a running step writes is not the fork's
  const uint64_t used = host.used();
  const SequenceCache fork = cache.Fork();
  EXPECT_EQ(host.used(), used);
  EXPECT_EQ(fork.length(), 100);
  EXPECT_EQ(fork.View(1, 0, 0).first_position, cache.View(1, 0, 0).first_position);
  for (int64_t position = 64; position < 100; position += 32)
    for (const size_t group : {0, 1})
      EXPECT_EQ(fork.PageAt(group, position), cache.PageAt(group, position));
  EXPECT_TRUE(cache.PageAt(0, 128));
  EXPECT_FALSE(fork.PageAt(0, 128));
  EXPECT_FALSE(fork.PageAt(1, 0));  // the window has passed it
}

TEST(SequenceCache, TheFirstToWriteIntoASharedPageWritesIntoACopy) {
  KvHost host;
  auto pool = host.Pool({Full({0, 1})});
  SequenceCache cache(*pool);
  GrowTo(cache, 40, 40);
  for (const int32_t layer : {0, 1}) Mark(*pool, layer, *cache.PageAt(0, 39), 39, 7);
  SequenceCache fork = cache.Fork();
  const uint64_t used = host.used();
  ASSERT_TRUE(fork.Reserve(41));
  EXPECT_EQ(host.used(), used + 2 * kPageBytes);  // one page of both layers
  EXPECT_EQ(fork.PageAt(0, 0), cache.PageAt(0, 0));
  EXPECT_NE(fork.PageAt(0, 40), cache.PageAt(0, 40));
  for (const int32_t layer : {0, 1}) EXPECT_EQ(MarkAt(*pool, layer, *fork.PageAt(0, 39), 39), 7u);
  // Now alone with its page, the other one writes where it is.
  const PageNumber own = *cache.PageAt(0, 40);
  ASSERT_TRUE(cache.Reserve(41));
  EXPECT_EQ(cache.PageAt(0, 40), own);
}

TEST(SequenceCache, AForkAtTheBorderOfAPageCopiesNothing) {
  KvHost host;
  auto pool = host.Pool({Full({0})});
  SequenceCache cache(*pool);
  GrowTo(cache, 64, 64);
  SequenceCache fork = cache.Fork();
  ASSERT_TRUE(fork.Reserve(65));
  EXPECT_EQ(host.used(), 3 * kPageBytes);
}

TEST(SequenceCache, ATruncatedSequenceWritesIntoACopyOfWhatOthersHold) {
  KvHost host;
  auto pool = host.Pool({Full({0})});
  SequenceCache cache(*pool);
  GrowTo(cache, 64, 64);
  Mark(*pool, 0, *cache.PageAt(0, 20), 20, 1);
  const SequenceCache fork = cache.Fork();
  EXPECT_EQ(cache.Truncate(20), 20);
  ASSERT_TRUE(cache.Reserve(21));
  Mark(*pool, 0, *cache.PageAt(0, 20), 20, 2);
  EXPECT_EQ(MarkAt(*pool, 0, *fork.PageAt(0, 20), 20), 1u);
}

TEST(SequenceCache, ACopyThereIsNoRoomForChangesNothing) {
  KvHost host(2 * 2 * kPageBytes);
  auto pool = host.Pool({Full({0}), Full({1})});
  SequenceCache cache(*pool);
  GrowTo(cache, 20, 20);
  SequenceCache fork = cache.Fork();
  auto pressure =
      memory::Holding::Take(host.ledger, memory::Owner::kSessions, kPageBytes, "pressure");
  ASSERT_TRUE(pressure);
  const uint64_t used = host.used();
  const Status refused = fork.Reserve(21);  // a copy in each group; there is room for one
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  EXPECT_EQ(host.used(), used);
  EXPECT_EQ(fork.PageAt(0, 0), cache.PageAt(0, 0));
  EXPECT_EQ(fork.PageAt(1, 0), cache.PageAt(1, 0));
  pressure->Reset();
  EXPECT_TRUE(fork.Reserve(21));
}

}  // namespace
}  // namespace mirage::kv
