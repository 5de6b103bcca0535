// SPDX-License-Identifier: Apache-2.0
#include "kv/prefix_cache.h"

#include <gtest/gtest.h>

#include "tests/kv/token_host.h"

namespace mirage::kv {
namespace {

constexpr uint64_t kPageBytes = 4096;

// A pool and its tree; sequences are computed, remembered and let go.
struct Tree {
  explicit Tree(Geometry geometry = {Full({0})})
      : pool(host.Pool(std::move(geometry))), prefixes(*pool) {}
  ~Tree() {
    const Status status = prefixes.CheckInvariants();
    EXPECT_TRUE(status) << status.error().message;
  }

  SequenceCache Run(const Tokens& tokens, int64_t step = 16, std::string_view salt = "") {
    SequenceCache cache(*pool);
    while (cache.length() < static_cast<int64_t>(tokens.size())) {
      const auto end =
          std::min<int64_t>(cache.length() + step, static_cast<int64_t>(tokens.size()));
      const Tokens part(tokens.begin(), tokens.begin() + end);
      EXPECT_TRUE(Compute(*pool, part, &cache));
      prefixes.Insert(salt, part, end == static_cast<int64_t>(tokens.size()), now, &cache);
      cache.Commit(end);
    }
    return cache;
  }
  void Remember(const Tokens& tokens, std::string_view salt = "") { Run(tokens, 16, salt); }
  // How much of it a new sequence finds, which is checked to be right.
  int64_t Found(const Tokens& tokens, std::string_view salt = "") {
    SequenceCache cache(*pool);
    const int64_t found = prefixes.Find(salt, tokens, now, &cache);
    EXPECT_EQ(found, cache.length());
    EXPECT_EQ(FirstWrong(*pool, tokens, cache), -1);
    return found;
  }

  KvHost host;
  std::unique_ptr<PagePool> pool;
  PrefixCache prefixes;
  int64_t now = 1;
};

TEST(PrefixCache, FindsTheLongestCommonBeginning) {
  Tree tree;
  tree.Remember(Text(1, 110));
  EXPECT_EQ(tree.Found(Text(1, 110)), 110);
  EXPECT_EQ(tree.Found(Text(1, 300)), 110);
  EXPECT_EQ(tree.Found(Text(1, 64) + Text(2, 64)), 64);
  EXPECT_EQ(tree.Found(Text(1, 80) + Text(2, 64)), 80);  // half of a page
  EXPECT_EQ(tree.Found(Text(1, 50)), 50);
  EXPECT_EQ(tree.Found(Text(2, 100)), 0);
}

TEST(PrefixCache, ABeginningOfAFewTokensIsNotWorthAPage) {
  Tree tree;
  tree.Remember(Text(1, 64));
  EXPECT_EQ(tree.Found(Text(1, PrefixCache::kLeastPartial - 1) + Text(2, 64)), 0);
  EXPECT_EQ(tree.Found(Text(1, PrefixCache::kLeastPartial) + Text(2, 64)),
            PrefixCache::kLeastPartial);
  EXPECT_EQ(tree.Found(Text(1, 33) + Text(2, 64)), 32);
}

TEST(PrefixCache, WhatGoesOnFromAFoundPageLeavesItAsItIs) {
  Tree tree;
  tree.Remember(Text(1, 50));
  const Tokens other = Text(1, 40) + Text(2, 60);
  SequenceCache cache(*tree.pool);
  ASSERT_EQ(tree.prefixes.Find("", other, 1, &cache), 40);
  ASSERT_TRUE(Compute(*tree.pool, other, &cache));
  cache.Commit(100);
  EXPECT_EQ(FirstWrong(*tree.pool, other, cache), -1);
  EXPECT_EQ(tree.Found(Text(1, 50)), 50);
}

TEST(PrefixCache, AFoundPageIsTheOneThatWasComputed) {
  Tree tree;
  const SequenceCache first = tree.Run(Text(1, 96));
  const uint64_t used = tree.host.used();
  SequenceCache second(*tree.pool);
  EXPECT_EQ(tree.prefixes.Find("", Text(1, 96), 1, &second), 96);
  EXPECT_EQ(tree.host.used(), used);
  for (const int64_t position : {0, 32, 64})
    EXPECT_EQ(second.PageAt(0, position), first.PageAt(0, position));
}

TEST(PrefixCache, PagesComputedTwiceBecomeOne) {
  Tree tree;
  const Tokens tokens = Text(1, 64);
  SequenceCache a(*tree.pool);
  SequenceCache b(*tree.pool);
  ASSERT_TRUE(Compute(*tree.pool, tokens, &a));
  ASSERT_TRUE(Compute(*tree.pool, tokens, &b));
  EXPECT_EQ(tree.host.used(), 4 * kPageBytes);
  tree.prefixes.Insert("", tokens, false, 1, &a);
  tree.prefixes.Insert("", tokens, false, 1, &b);
  a.Commit(64);
  b.Commit(64);
  EXPECT_EQ(tree.host.used(), 2 * kPageBytes);
  EXPECT_EQ(a.PageAt(0, 32), b.PageAt(0, 32));
  EXPECT_EQ(FirstWrong(*tree.pool, tokens, b), -1);
}

TEST(PrefixCache, AFullPageTakesThePlaceOfItsBeginning) {
  Tree tree;
  tree.Remember(Text(1, 40));
  EXPECT_EQ(tree.prefixes.Stats().nodes, 2u);
  tree.Remember(Text(1, 64));
  EXPECT_EQ(tree.prefixes.Stats().nodes, 2u);
  tree.Remember(Text(1, 50));  // nothing new
  EXPECT_EQ(tree.prefixes.Stats().nodes, 2u);
  EXPECT_EQ(tree.Found(Text(1, 64)), 64);
}

TEST(PrefixCache, NothingIsFoundUnderAnotherSalt) {
  Tree tree;
  tree.Remember(Text(1, 64), "tenant a");
  EXPECT_EQ(tree.Found(Text(1, 64), "tenant b"), 0);
  EXPECT_EQ(tree.Found(Text(1, 64)), 0);
  EXPECT_EQ(tree.Found(Text(1, 64), "tenant a"), 64);
}

// A query at 128 sees positions from 89 on: pages 2 and 3.
TEST(PrefixCache, AWindowIsFoundOnlyWhereAllItsPagesAre) {
  Tree tree({Full({0}), Window({1}, 40)});
  tree.Remember(Text(1, 128));
  EXPECT_EQ(tree.Found(Text(1, 128)), 128);
  EXPECT_EQ(tree.Found(Text(1, 64) + Text(2, 20)), 64);  // kept though the sequence let go of them
  // Only what a new prompt could branch off from is given up.
  EXPECT_EQ(tree.prefixes.Evict(1, ++tree.now), kPageBytes);
  EXPECT_EQ(tree.Found(Text(1, 128)), 128);
  EXPECT_EQ(tree.prefixes.Evict(1, ++tree.now), kPageBytes);
  EXPECT_EQ(tree.Found(Text(1, 128)), 128);
  EXPECT_LT(tree.Found(Text(1, 64) + Text(2, 20)), 64);
}

TEST(PrefixCache, AWindowOfOnePositionAndPagesOnItsBorder) {
  for (const int64_t window : {1, 2, 31, 32, 33, 64, 65}) {
    Tree tree({Full({0}), Window({1}, window)});
    const SequenceCache computed = tree.Run(Text(1, 200), 7);
    for (int64_t length = 8; length <= 200; ++length) {
      SequenceCache cache(*tree.pool);
      const Tokens tokens = Text(1, length) + Text(2, 40);
      const int64_t found = tree.prefixes.Find("", tokens, 1, &cache);
      ASSERT_GE(found, length - length % 32) << window;
      ASSERT_EQ(FirstWrong(*tree.pool, tokens, cache), -1) << window << " at " << length;
      ASSERT_TRUE(Compute(*tree.pool, tokens, &cache));
      cache.Commit(length + 40);
      ASSERT_EQ(FirstWrong(*tree.pool, tokens, cache), -1);
    }
  }
}

TEST(PrefixCache, PagesInUseAreNeverGivenUp) {
  Tree tree;
  const SequenceCache user = tree.Run(Text(1, 96));
  EXPECT_EQ(tree.prefixes.EvictableBytes(), 0u);
  EXPECT_EQ(tree.prefixes.Evict(UINT64_MAX, 5), 0u);
  EXPECT_EQ(tree.Found(Text(1, 96)), 96);
}

TEST(PrefixCache, WhatWasNotAskedForTheLongestGoesFirstAndEndsBeforeTheirBeginnings) {
  Tree tree;
  tree.Remember(Text(1, 64));
  tree.now = 100;
  tree.Remember(Text(2, 64));
  tree.now = 200;
  EXPECT_EQ(tree.prefixes.EvictableBytes(), 4 * kPageBytes);
  EXPECT_EQ(tree.prefixes.Evict(1, 300), kPageBytes);
  EXPECT_EQ(tree.Found(Text(1, 64)), 32);
  EXPECT_EQ(tree.Found(Text(2, 64)), 64);
  // Asked for just now, it is the other's turn.
  tree.now = 1'000'000;
  EXPECT_EQ(tree.Found(Text(1, 64)), 32);
  EXPECT_EQ(tree.prefixes.Evict(2 * kPageBytes, 2'000'000), 2 * kPageBytes);
  EXPECT_EQ(tree.Found(Text(2, 64)), 0);
  EXPECT_EQ(tree.Found(Text(1, 64)), 32);
  EXPECT_EQ(tree.prefixes.Evict(UINT64_MAX, 2'000'000), kPageBytes);
  EXPECT_EQ(tree.host.used(), 0u);
}

TEST(EvictionScore, GrowsWithTheCostAndFallsWithBytesAndIdleness) {
  EXPECT_GT(EvictionScore(0, 32, 4096, 10), EvictionScore(0, 16, 4096, 10));
  EXPECT_GT(EvictionScore(8192, 32, 4096, 10), EvictionScore(0, 32, 4096, 10));
  EXPECT_GT(EvictionScore(0, 32, 4096, 10), EvictionScore(0, 32, 8192, 10));
  EXPECT_GT(EvictionScore(0, 32, 4096, 10), EvictionScore(0, 32, 4096, 20));
}

TEST(PrefixCache, AForgottenTailIsWrittenInPlace) {
  Tree tree;
  SequenceCache cache = tree.Run(Text(1, 40));
  const uint64_t used = tree.host.used();
  EXPECT_TRUE(tree.prefixes.ForgetTail(cache));
  EXPECT_FALSE(tree.prefixes.ForgetTail(cache));
  ASSERT_TRUE(cache.Reserve(41));
  EXPECT_EQ(tree.host.used(), used);
  EXPECT_EQ(tree.Found(Text(1, 40)), 32);
}

TEST(PrefixCache, ForgettingAPageForgetsWhatGrowsFromIt) {
  Tree tree;
  SequenceCache cache = tree.Run(Text(1, 128));
  tree.Remember(Text(1, 64) + Text(2, 64));
  EXPECT_EQ(cache.Truncate(40), 40);
  EXPECT_TRUE(tree.prefixes.ForgetTail(cache));
  EXPECT_EQ(tree.prefixes.Stats().nodes, 1u);
  EXPECT_EQ(tree.Found(Text(1, 128)), 32);
}

TEST(PrefixCache, APageThatOnlyTheTreeHoldsIsGivenUpThoughAForkHoldsWhatGrowsFromIt) {
  Tree tree;
  const Tokens tokens = Text(1, 64);
  tree.Remember(Text(1, 32));
  SequenceCache fork;
  {
    SequenceCache cache(*tree.pool);
    ASSERT_TRUE(Compute(*tree.pool, tokens, &cache));
    cache.Commit(64);
    fork = cache.Fork();
    tree.prefixes.Insert("", tokens, false, 1, &cache);
  }
  EXPECT_EQ(tree.prefixes.EvictableBytes(), kPageBytes);
  EXPECT_EQ(tree.prefixes.Evict(UINT64_MAX, 2), kPageBytes);
  EXPECT_EQ(tree.host.used(), 2 * kPageBytes);
  EXPECT_EQ(FirstWrong(*tree.pool, tokens, fork), -1);
}

// Two pages and six tokens in steps of 16: states after 32, 64 and 70.
TEST(PrefixCache, AStateIsFoundWhereThereIsOneBeforeTheTokensDiffer) {
  for (const Geometry& geometry : {Geometry{Full({0}), State({1})}, Geometry{State({0, 1})}}) {
    Tree tree(geometry);
    tree.Remember(Text(1, 80));
    EXPECT_EQ(tree.Found(Text(1, 80)), 80);
    EXPECT_EQ(tree.Found(Text(1, 300)), 80);
    EXPECT_EQ(tree.Found(Text(1, 79)), 64);
    EXPECT_EQ(tree.Found(Text(1, 64) + Text(2, 64)), 64);
    EXPECT_EQ(tree.Found(Text(1, 63)), 32);
    EXPECT_EQ(tree.Found(Text(1, 50) + Text(2, 64)), 32);
    EXPECT_EQ(tree.Found(Text(1, 31)), 0);
  }
}

TEST(PrefixCache, AFoundStateIsGoneOnFromAndLeftAsItIs) {
  Tree tree({State({0}, 3), Full({1})});
  tree.Remember(Text(1, 200));
  const Tokens other = Text(1, 130) + Text(2, 60);
  SequenceCache cache(*tree.pool);
  ASSERT_EQ(tree.prefixes.Find("", other, 1, &cache), 128);
  ASSERT_TRUE(Compute(*tree.pool, other, &cache));
  cache.Commit(190);
  EXPECT_EQ(FirstWrong(*tree.pool, other, cache), -1);
  EXPECT_EQ(tree.Found(Text(1, 200)), 200);
  // It can go back as one that computed it all.
  EXPECT_EQ(cache.Truncate(159), 128);
}

TEST(PrefixCache, WhoFindsAStateFindsThoseToGoBackTo) {
  Tree tree({State({0}, 4)});
  const SequenceCache computed = tree.Run(Text(1, 460));
  SequenceCache found(*tree.pool);
  ASSERT_EQ(tree.prefixes.Find("", Text(1, 500), 1, &found), 460);
  for (int64_t after = 1; after <= 460; ++after)
    EXPECT_EQ(found.PageAt(0, after), computed.PageAt(0, after)) << after;
  EXPECT_TRUE(found.CheckInvariants());
}

TEST(PrefixCache, AStepWithoutSnapshotsLeavesNoEndThatNobodyFinds) {
  for (const Geometry& geometry : {Geometry{State({0})}, Geometry{Full({1}), State({0})}}) {
    Tree tree(geometry);
    const Tokens tokens = Text(1, 110);
    SequenceCache cache(*tree.pool);
    ASSERT_TRUE(Compute(*tree.pool, tokens, &cache, INT64_MAX, Snapshots::kSkip));
    tree.prefixes.Insert("", tokens, false, 1, &cache);
    EXPECT_EQ(tree.prefixes.Stats().nodes, 0u);
    cache.Commit(110);
    tree.prefixes.Insert("", tokens, false, 1, &cache);
    EXPECT_EQ(tree.prefixes.Stats().nodes, 0u);
    // A part too small to be found.
    SequenceCache shorter(*tree.pool);
    ASSERT_TRUE(Compute(*tree.pool, Text(1, 67), &shorter, INT64_MAX, Snapshots::kSkip));
    tree.prefixes.Insert("", Text(1, 67), true, 1, &shorter);
    EXPECT_EQ(tree.prefixes.Stats().nodes, 0u);
    tree.prefixes.Insert("", tokens, true, 1, &cache);
    EXPECT_EQ(tree.prefixes.Stats().nodes, 4u);
    EXPECT_EQ(tree.Found(tokens), 110);
  }
}

TEST(PrefixCache, AStateOfAPartIsNotLostToAPageWithoutOne) {
  Tree tree({State({0})});
  tree.Remember(Text(1, 84));
  const Tokens tokens = Text(1, 110);
  SequenceCache cache(*tree.pool);
  ASSERT_TRUE(Compute(*tree.pool, tokens, &cache, INT64_MAX, Snapshots::kSkip));
  tree.prefixes.Insert("", tokens, false, 1, &cache);
  EXPECT_EQ(tree.Found(Text(1, 84)), 84);
}

TEST(PrefixCache, AStateIsWorthAllThatIsComputedAgainWithoutIt) {
  for (const bool far_first : {false, true}) {
    Tree tree({Full({0}), State({1})});
    const auto remember_far = [&] {  // without a state on the way
      SequenceCache cache(*tree.pool);
      ASSERT_TRUE(Compute(*tree.pool, Text(1, 96), &cache, INT64_MAX, Snapshots::kSkip));
      tree.prefixes.Insert("", Text(1, 96), false, 1, &cache);
      cache.Commit(96);
    };
    if (far_first) remember_far();
    tree.Remember(Text(2, 96));
    if (!far_first) remember_far();
    tree.prefixes.Evict(4 * kPageBytes, 2);
    EXPECT_EQ(tree.Found(Text(1, 96)), 96);
    EXPECT_LT(tree.Found(Text(2, 96)), 96);
  }
}

// Nodes that only lead to a state are of no use without it.
TEST(PrefixCache, WithItsStateABranchIsGone) {
  Tree tree({Full({0}), State({1})});
  const Tokens tokens = Text(1, 96);
  {
    SequenceCache cache(*tree.pool);
    ASSERT_TRUE(Compute(*tree.pool, tokens, &cache, INT64_MAX, Snapshots::kSkip));
    tree.prefixes.Insert("", tokens, false, 1, &cache);
    cache.Commit(96);
  }
  EXPECT_EQ(tree.prefixes.Stats().nodes, 3u);
  EXPECT_EQ(tree.prefixes.Evict(1, 2), 4 * kPageBytes);
  EXPECT_EQ(tree.prefixes.Stats().nodes, 0u);
  EXPECT_EQ(tree.host.used(), 0u);
}

// Of states those in the middle go first, and only the branching off there is lost.
TEST(PrefixCache, AStateIsGivenUpWithoutItsPage) {
  Tree tree({Full({0}), State({1}, 9)});
  tree.Remember(Text(1, 128));
  EXPECT_EQ(tree.Found(Text(1, 64) + Text(2, 20)), 64);
  const uint64_t nodes = tree.prefixes.Stats().nodes;
  EXPECT_EQ(tree.prefixes.Evict(3 * kPageBytes, ++tree.now), 3 * kPageBytes);
  EXPECT_EQ(tree.prefixes.Stats().nodes, nodes);
  EXPECT_EQ(tree.Found(Text(1, 64) + Text(2, 20)), 0);
  EXPECT_EQ(tree.Found(Text(1, 128)), 128);
  tree.Remember(Text(1, 128));  // what is computed again is known again
  EXPECT_EQ(tree.Found(Text(1, 64) + Text(2, 20)), 64);
}

TEST(PrefixCache, StatesInUseAreNeverGivenUp) {
  Tree tree({State({0}, 3)});
  const SequenceCache user = tree.Run(Text(1, 300));
  tree.prefixes.Evict(UINT64_MAX, 5);
  EXPECT_EQ(tree.prefixes.EvictableBytes(), 0u);
  EXPECT_EQ(FirstWrong(*tree.pool, Text(1, 300), user), -1);
  EXPECT_EQ(tree.Found(Text(1, 300)), 300);
}

TEST(PrefixCache, StatesComputedTwiceBecomeOne) {
  Tree tree({State({0}, 2)});
  SequenceCache a = tree.Run(Text(1, 64));
  SequenceCache b = tree.Run(Text(1, 64));
  a.Rollback();
  b.Rollback();
  EXPECT_EQ(tree.host.used(), 2 * kPageBytes);
  EXPECT_EQ(a.PageAt(0, 64), b.PageAt(0, 64));
  EXPECT_EQ(a.PageAt(0, 32), b.PageAt(0, 32));
}

TEST(PrefixCache, OfPagesOfWindowsAndStatesAHitNeedsBoth) {
  for (const int64_t window : {1, 31, 33, 48, 65}) {
    Tree tree({Full({0}), Window({1}, window), State({2}, 3)});
    const SequenceCache computed = tree.Run(Text(1, 200), 7);
    for (int64_t length = 8; length <= 200; ++length) {
      SequenceCache cache(*tree.pool);
      const Tokens tokens = Text(1, length) + Text(2, 40);
      const int64_t found = tree.prefixes.Find("", tokens, 1, &cache);
      ASSERT_EQ(found, length == 200 ? 200 : length / 32 * 32) << window;
      ASSERT_TRUE(Compute(*tree.pool, tokens, &cache));
      cache.Commit(length + 40);
      ASSERT_EQ(FirstWrong(*tree.pool, tokens, cache), -1) << window << " at " << length;
    }
  }
}

TEST(PrefixCache, AForgottenTailIsNoState) {
  Tree tree({State({0})});
  SequenceCache cache = tree.Run(Text(1, 40));
  EXPECT_FALSE(tree.prefixes.ForgetTail(cache));
  EXPECT_EQ(tree.Found(Text(1, 40)), 40);
}

TEST(PrefixCache, ItsEndGivesBackItsPages) {
  KvHost host;
  auto pool = host.Pool({Full({0})});
  {
    PrefixCache prefixes(*pool);
    SequenceCache cache(*pool);
    ASSERT_TRUE(Compute(*pool, Text(1, 64), &cache));
    prefixes.Insert("", Text(1, 64), false, 1, &cache);
  }
  EXPECT_EQ(host.used(), 0u);
}

}  // namespace
}  // namespace mirage::kv
