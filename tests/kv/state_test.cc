// SPDX-License-Identifier: Apache-2.0
// States of fixed size: a sequence goes on from one that is there, and keeps a few to go back to.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "tests/kv/token_host.h"

namespace mirage::kv {
namespace {

constexpr uint64_t kPageBytes = 4096;

Tokens Part(const Tokens& tokens, int64_t count) {
  return {tokens.begin(), tokens.begin() + count};
}

// Computes and commits in steps of `step`.
void GrowTo(PagePool& pool, SequenceCache& cache, const Tokens& tokens, int64_t step,
            Snapshots snapshots = Snapshots::kTake) {
  const auto end = static_cast<int64_t>(tokens.size());
  while (cache.length() < end) {
    const int64_t next = std::min(end, cache.length() + step);
    ASSERT_TRUE(Compute(pool, Part(tokens, next), &cache, INT64_MAX, snapshots));
    cache.Commit(next);
  }
}

// After how many tokens the cache has states of a group.
std::vector<int64_t> Held(const SequenceCache& cache, size_t group = 0) {
  std::vector<int64_t> held;
  for (int64_t after = 1; after <= cache.length(); ++after)
    if (cache.PageAt(group, after)) held.push_back(after);
  return held;
}

std::set<int64_t> Kept(int64_t newest, int32_t most) {
  std::set<int64_t> kept;
  for (int64_t border = -1; border <= newest + 1; ++border)
    if (KeepsSnapshot(border, newest, most)) kept.insert(border);
  return kept;
}

TEST(KeepsSnapshot, AtMostSoManyAndEachBorderAddsOnlyItself) {
  EXPECT_EQ(Kept(45, 99), (std::set<int64_t>{16, 32, 40, 42, 44, 45}));
  EXPECT_EQ(Kept(45, 3), (std::set<int64_t>{42, 44, 45}));
  for (int32_t most = 0; most <= 12; ++most)
    for (int64_t newest = 0; newest <= 600; ++newest) {
      const std::set<int64_t> kept = Kept(newest, most);
      ASSERT_LE(static_cast<int32_t>(kept.size()), most);
      ASSERT_EQ(kept.count(newest), newest > 0 && most > 0 ? 1u : 0u);
      for (const int64_t border : Kept(newest + 1, most))
        ASSERT_TRUE(border == newest + 1 || kept.count(border) == 1)
            << border << " of " << newest << ", " << most;
    }
}

TEST(KeepsSnapshot, GoingBackCostsNoMoreThanThreeTimesAsMuchAgain) {
  for (int32_t most = 2; most <= 12; ++most)
    for (int64_t newest = 1; newest <= 600; ++newest) {
      const std::set<int64_t> kept = Kept(newest, most);
      for (int64_t back = 1; back <= std::min(newest, int64_t{1} << (most - 2)); ++back) {
        const auto after = kept.upper_bound(newest - back);
        const int64_t found = after == kept.begin() ? 0 : *std::prev(after);
        ASSERT_LT(newest - found, 4 * back) << newest << " back " << back << ", " << most;
      }
    }
}

TEST(States, OnlyTheNewestAndThoseToGoBackToAreHeld) {
  for (const int64_t step : {1, 7, 32, 100, 512}) {
    KvHost host;
    auto pool = host.Pool({State({0, 1}, 3)});
    SequenceCache cache(*pool);
    const Tokens tokens = Text(1, 45 * 32 + 5);
    GrowTo(*pool, cache, tokens, step);
    EXPECT_EQ(Held(cache), (std::vector<int64_t>{42 * 32, 44 * 32, 45 * 32, 45 * 32 + 5}));
    EXPECT_EQ(FirstWrong(*pool, tokens, cache), -1);
    cache.Rollback();
    EXPECT_EQ(host.used(), 4u * 2 * kPageBytes);
    EXPECT_TRUE(cache.CheckInvariants());
  }
}

TEST(States, WithoutSnapshotsOnlyTheNewestIsHeld) {
  KvHost host;
  auto pool = host.Pool({State({0})});
  SequenceCache cache(*pool);
  GrowTo(*pool, cache, Text(1, 200), 50, Snapshots::kSkip);
  EXPECT_EQ(Held(cache), (std::vector<int64_t>{200}));
}

TEST(States, AreAsLargeAsTheyAreInWholeOsPages) {
  EXPECT_EQ((State({0, 1, 2}, 1, 5000).page_bytes()), 8192u);
  EXPECT_EQ((State({0, 1, 2}, 1, 5000).bytes_per_page()), 3u * 8192);
}

TEST(States, AStepNeitherTakesNorGivesBackMemory) {
  KvHost host;
  auto pool = host.Pool({State({0}, 2)});
  SequenceCache cache(*pool);
  const Tokens tokens = Text(1, 200);
  GrowTo(*pool, cache, Part(tokens, 129), 129);
  GrowTo(*pool, cache, Part(tokens, 130), 1);
  std::set<PageNumber> pages;
  const uint64_t used = host.used();
  for (int64_t end = 131; end < 160; ++end) {
    GrowTo(*pool, cache, Part(tokens, end), 1);
    pages.insert(*cache.PageAt(0, end));
    ASSERT_EQ(host.used(), used);
  }
  EXPECT_EQ(pages.size(), 2u);
  cache.Rollback();
  EXPECT_EQ(host.used(), used - kPageBytes);
}

TEST(States, ARolledBackStepLeavesThemAsTheyWere) {
  KvHost host;
  auto pool = host.Pool({Full({0}), State({1}, 3)});
  SequenceCache cache(*pool);
  const Tokens tokens = Text(1, 300);
  GrowTo(*pool, cache, Part(tokens, 100), 100);
  cache.Rollback();
  const std::vector<int64_t> held = Held(cache, 1);
  const uint64_t used = host.used();
  const PageNumber state = *cache.PageAt(1, 100);
  ASSERT_TRUE(Compute(*pool, tokens, &cache));
  EXPECT_GT(host.used(), used);
  cache.Rollback();
  EXPECT_EQ(Held(cache, 1), held);
  EXPECT_EQ(host.used(), used);
  EXPECT_EQ(cache.PageAt(1, 100), state);
  EXPECT_EQ(FirstWrong(*pool, Part(tokens, 100), cache), -1);
}

TEST(States, GoingBackGoesToTheLastOneBefore) {
  KvHost host;
  auto pool = host.Pool({Full({0}), State({1}, 4)});
  SequenceCache cache(*pool);
  const Tokens tokens = Text(1, 500);
  GrowTo(*pool, cache, tokens, 60);
  ASSERT_EQ(Held(cache, 1), (std::vector<int64_t>{256, 384, 448, 480, 500}));
  EXPECT_EQ(cache.Truncate(500), 500);
  EXPECT_EQ(cache.Truncate(499), 480);
  EXPECT_EQ(FirstWrong(*pool, Part(tokens, 480), cache), -1);
  EXPECT_EQ(cache.Truncate(479), 448);
  EXPECT_EQ(host.used(), (14u + 3u) * kPageBytes);
  // It goes on from there another way, and may come back.
  const Tokens other = Part(tokens, 448) + Text(2, 60);
  GrowTo(*pool, cache, other, 60);
  EXPECT_EQ(FirstWrong(*pool, other, cache), -1);
  EXPECT_EQ(cache.Truncate(450), 448);
  EXPECT_EQ(cache.Truncate(383), 256);
  EXPECT_EQ(FirstWrong(*pool, Part(tokens, 256), cache), -1);
  EXPECT_EQ(cache.Truncate(255), 0);
  EXPECT_EQ(host.used(), 0u);
}

TEST(States, OfGroupsThatKeepUnlikeManyOnlyThoseOfAllCount) {
  KvHost host;
  auto pool = host.Pool({State({0}, 2), State({1}, 5)});
  SequenceCache cache(*pool);
  GrowTo(*pool, cache, Text(1, 340), 100);
  EXPECT_EQ(Held(cache, 0), (std::vector<int64_t>{288, 320, 340}));
  EXPECT_EQ(Held(cache, 1).size(), 5u);
  EXPECT_EQ(cache.Resumable(319), 288);
  EXPECT_EQ(cache.Truncate(287), 0);
}

// A state that no query could follow, its window being gone, is not held.
TEST(States, AreHeldAsFarAsTheWindowsReach) {
  KvHost host;
  auto pool = host.Pool({Window({0}, 40), State({1}, 6)});
  SequenceCache cache(*pool);
  const Tokens tokens = Text(1, 400);
  for (int64_t end = 10; end <= 400; end += 10) {
    GrowTo(*pool, cache, Part(tokens, end), 10);
    for (const int64_t after : Held(cache, 1)) {
      SequenceCache fork = cache.Fork();
      ASSERT_EQ(fork.Truncate(after), after) << "of " << end;
    }
    ASSERT_EQ(FirstWrong(*pool, tokens, cache), -1);
  }
  EXPECT_EQ(Held(cache, 1), (std::vector<int64_t>{400}));
}

TEST(States, AForkSharesThemAndGoesItsOwnWay) {
  KvHost host;
  auto pool = host.Pool({Full({0}), State({1, 2}, 2)});
  SequenceCache cache(*pool);
  const Tokens tokens = Text(1, 70);
  GrowTo(*pool, cache, tokens, 70);
  ASSERT_TRUE(Compute(*pool, tokens + Text(3, 9), &cache));  // what a step writes is not the fork's
  const uint64_t used = host.used();
  SequenceCache fork = cache.Fork();
  EXPECT_EQ(host.used(), used);
  EXPECT_EQ(Held(fork, 1), Held(cache, 1));
  cache.Commit(79);
  const Tokens other = tokens + Text(2, 30);
  GrowTo(*pool, fork, other, 1);
  EXPECT_EQ(FirstWrong(*pool, other, fork), -1);
  EXPECT_EQ(FirstWrong(*pool, tokens + Text(3, 9), cache), -1);
  EXPECT_EQ(fork.PageAt(1, 64), cache.PageAt(1, 64));
}

// As tokens that are guessed: each may be the last that is right.
TEST(States, OfTokensThatMayBeTakenBackThereIsOneAfterEach) {
  const Tokens tokens = Text(1, 66);
  for (int64_t right = 61; right <= 66; ++right) {
    KvHost host;
    auto pool = host.Pool({State({0}, 3)});
    SequenceCache cache(*pool);
    GrowTo(*pool, cache, Part(tokens, 60), 60);
    ASSERT_TRUE(Compute(*pool, tokens, &cache, 61));
    for (int64_t end = 61; end <= right; ++end) cache.Commit(end);
    cache.Rollback();
    EXPECT_EQ(FirstWrong(*pool, tokens, cache), -1);
    EXPECT_EQ(Held(cache), right < 64   ? (std::vector<int64_t>{32, right})
                           : right > 64 ? (std::vector<int64_t>{32, 64, right})
                                        : (std::vector<int64_t>{32, 64}));
    EXPECT_EQ(host.used(), Held(cache).size() * kPageBytes);
  }
}

TEST(States, WhatIsNotSettledIsGoneBackToExactly) {
  const Tokens tokens = Text(1, 66);
  for (int64_t back = 61; back <= 66; ++back) {
    KvHost host;
    auto pool = host.Pool({State({0}, 3)});
    SequenceCache cache(*pool);
    GrowTo(*pool, cache, Part(tokens, 61), 61);
    for (int64_t end = 62; end <= 66; ++end) {
      ASSERT_TRUE(Compute(*pool, Part(tokens, end), &cache, 61));
      cache.Commit(end, 61);
    }
    EXPECT_EQ(cache.Truncate(back), back);
    EXPECT_EQ(FirstWrong(*pool, tokens, cache), -1);
  }
}

TEST(States, AReservationMayBeMadeAnew) {
  KvHost host;
  auto pool = host.Pool({Full({0}), State({1}, 3)});
  SequenceCache cache(*pool);
  const Tokens tokens = Text(1, 400);
  GrowTo(*pool, cache, Part(tokens, 40), 40);
  const auto reserve = [&](int64_t end, int64_t settled, Snapshots snapshots) {
    ASSERT_TRUE(cache.Reserve(end, settled, snapshots));
    EXPECT_EQ(cache.States(1).after.back(), end);
    EXPECT_TRUE(cache.CheckInvariants());
  };
  reserve(300, 300, Snapshots::kTake);
  const uint64_t most = host.used();
  reserve(350, 340, Snapshots::kTake);
  EXPECT_GT(host.used(), most);
  reserve(100, 100, Snapshots::kSkip);
  EXPECT_EQ(std::vector<int64_t>(cache.States(1).after.begin(), cache.States(1).after.end()),
            (std::vector<int64_t>{100}));
  ASSERT_TRUE(Compute(*pool, Part(tokens, 200), &cache));
  cache.Commit(200);
  cache.Rollback();
  EXPECT_EQ(FirstWrong(*pool, tokens, cache), -1);
  HoldCounts counts(2);
  cache.CountHolds(&counts);
  EXPECT_TRUE(pool->CheckHolders(counts, true));
}

TEST(States, AReservationThereIsNoRoomForChangesNothing) {
  for (int64_t room = 0; room < 15; ++room) {
    KvHost host((6 + static_cast<uint64_t>(room)) * kPageBytes);
    auto pool = host.Pool({Full({0}), State({1}, 3), State({2}, 1)});
    SequenceCache cache(*pool);
    GrowTo(*pool, cache, Text(1, 33), 33);  // two pages, two states twice
    const uint64_t used = host.used();
    ASSERT_EQ(used, 6 * kPageBytes);
    const std::vector<int64_t> before = Held(cache, 1);
    // Five pages more; states after 64, 96, 128, 150 to 153 and after 128, 150 to 153.
    const Status reserved = cache.Reserve(153, 150, Snapshots::kTake);
    EXPECT_EQ(reserved.has_value(), false);
    EXPECT_EQ(reserved.error().code, Code::kOutOfMemory);
    EXPECT_EQ(host.used(), used);
    EXPECT_EQ(Held(cache, 1), before);
    EXPECT_TRUE(cache.States(1).pages.empty());
    EXPECT_TRUE(pool->CheckInvariants());
  }
  KvHost host((6 + 3 + 7 + 5) * kPageBytes);
  auto pool = host.Pool({Full({0}), State({1}, 3), State({2}, 1)});
  SequenceCache cache(*pool);
  GrowTo(*pool, cache, Text(1, 33), 33);
  EXPECT_TRUE(cache.Reserve(153, 150, Snapshots::kTake));
}

TEST(States, ThoseToGoBackToAreLetGoOf) {
  KvHost host;
  auto pool = host.Pool({State({0}, 4)});
  SequenceCache cache(*pool);
  const Tokens tokens = Text(1, 300);
  GrowTo(*pool, cache, Part(tokens, 290), 290);
  ASSERT_TRUE(Compute(*pool, tokens, &cache));
  EXPECT_TRUE(cache.DropSnapshots());
  cache.Commit(300);  // what a step has reserved is left to it
  EXPECT_EQ(FirstWrong(*pool, tokens, cache), -1);
  EXPECT_TRUE(cache.DropSnapshots());
  EXPECT_EQ(host.used(), kPageBytes);
  EXPECT_FALSE(cache.DropSnapshots());
  EXPECT_EQ(cache.Truncate(300), 300);
}

TEST(States, OfASequenceAreNoMoreThanPlanned) {
  for (const int32_t snapshots : {0, 1, 2, 3, 6})
    for (const int64_t step : {1, 2, 31, 32, 33, 34, 64, 100, 500})
      for (const int64_t tokens : {1, 2, 31, 32, 33, 64, 257, 700}) {
        if (step > tokens) continue;
        KvHost host;
        auto pool = host.Pool({State({0}, snapshots)});
        int64_t most = 0;
        for (int64_t first = 1; first <= std::min<int64_t>(step, 40); ++first) {
          SequenceCache cache(*pool);
          int64_t end = first;
          for (; end <= tokens; end += step) {
            ASSERT_TRUE(cache.Reserve(end, end, Snapshots::kTake));
            most = std::max(most, static_cast<int64_t>(pool->Stats().pages_held));
            cache.Commit(end);
            most = std::max(most, static_cast<int64_t>(pool->Stats().pages_held));
          }
        }
        const int64_t planned = PagesFor(pool->geometry()[0], tokens, step);
        EXPECT_LE(most, planned) << snapshots << " " << step << " " << tokens;
        EXPECT_GE(most, planned - (step < 100 ? 2 : 4))
            << snapshots << " " << step << " " << tokens;
        EXPECT_LE(LeastPagesFor(pool->geometry()[0], tokens), most);
      }
}

TEST(States, ACacheMadeOfSavedOnesHasTheNewestAlone) {
  KvHost host;
  auto pool = host.Pool({State({0, 2}, 3, 5000), Full({1})});
  SequenceCache cache(*pool);
  const Tokens tokens = Text(1, 100);
  GrowTo(*pool, cache, tokens, 100);
  std::vector<SequenceCache::Extent> extents = {cache.extent(0), cache.extent(1)};
  EXPECT_EQ(extents[0].first_position, 100);
  EXPECT_EQ(extents[0].pages, 1);
  auto made = SequenceCache::WithPages(*pool, 100, extents);
  ASSERT_TRUE(made) << made.error().message;
  std::vector<std::byte> page(8192, std::byte{1});
  for (size_t slot = 0; slot < 2; ++slot) {
    cache.PageBytes(0, 0, slot)[6000] = std::byte{9};  // past the state
    cache.CopyPage(0, 0, slot, page);
    EXPECT_EQ(page[6000], std::byte{0});
    std::memcpy(made->PageBytes(0, 0, slot).data(), page.data(), page.size());
  }
  for (int64_t index = 0; index < extents[1].pages; ++index)
    std::memcpy(made->PageBytes(1, index, 0).data(), cache.PageBytes(1, index, 0).data(), 4096);
  EXPECT_EQ(FirstWrong(*pool, tokens, *made), -1);
  EXPECT_EQ(made->Truncate(99), 0);

  const auto refused = [&](SequenceCache::Extent states, int64_t length = 100) {
    const auto other = SequenceCache::WithPages(*pool, length, std::vector{states, extents[1]});
    return !other && other.error().code == Code::kCorrupt &&
           other.error().message.find("state group 0") != std::string::npos;
  };
  EXPECT_TRUE(refused({100, 0}));
  EXPECT_TRUE(refused({100, 2}));
  EXPECT_TRUE(refused({96, 1}));
  EXPECT_TRUE(refused({0, 0}));
  EXPECT_TRUE(refused({100, INT64_MAX}));
  EXPECT_TRUE(refused({0, 1}, 0));
  EXPECT_TRUE(SequenceCache::WithPages(*pool, 0, std::vector<SequenceCache::Extent>(2)));
}

TEST(States, MovingACacheMovesThem) {
  KvHost host;
  auto pool = host.Pool({State({0}, 3)});
  SequenceCache cache(*pool);
  const Tokens tokens = Text(1, 90);
  GrowTo(*pool, cache, tokens, 9);
  const uint64_t used = host.used();
  SequenceCache moved(std::move(cache));
  EXPECT_EQ(FirstWrong(*pool, tokens, moved), -1);
  EXPECT_EQ(host.used(), used);
  SequenceCache other(*pool);
  GrowTo(*pool, other, Text(2, 90), 9);
  other = std::move(moved);
  EXPECT_EQ(FirstWrong(*pool, tokens, other), -1);
  EXPECT_EQ(host.used(), used);
  other.Clear();
  EXPECT_EQ(host.used(), 0u);
}

}  // namespace
}  // namespace mirage::kv
