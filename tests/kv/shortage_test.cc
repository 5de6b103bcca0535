// SPDX-License-Identifier: Apache-2.0

// Pages that are wanted when there is no heap to keep count of them.

#include <gtest/gtest.h>

#include <vector>

#include "tests/kv/token_host.h"
#include "tests/memory/heap_shortage.h"

namespace mirage::kv {
namespace {

TEST(PageShortage, OfHeapLosesNoPage) {
  KvHost host;
  auto pool = host.Pool({Full({0, 1}), Full({2})});
  int failures = 0;
  for (int fails_at = 0;; ++fails_at) {
    std::vector<PageNumber> pages;
    Status taken;
    const bool went_through =
        memory::WithShortage(fails_at, [&] { taken = pool->Take(0, 3, &pages); });
    const Status sound = pool->CheckInvariants();
    ASSERT_TRUE(sound) << sound.error().message << ", allocation " << fails_at;
    if (went_through && taken) break;
    EXPECT_TRUE(!went_through || taken.error().code == Code::kOutOfMemory);
    EXPECT_TRUE(pages.empty());
    EXPECT_EQ(host.used(), 0u);
    ++failures;
  }
  EXPECT_GT(failures, 5);
}

const Geometry kHybrid = {State({1}, 3), Full({0}), Window({2}, 40), State({3}, 2)};

// Every page is held by `caches` and the tree, and each cache has what its tokens say.
void ExpectSound(PagePool& pool, const PrefixCache& prefixes, const Tokens& tokens,
                 std::initializer_list<const SequenceCache*> caches) {
  HoldCounts counts(pool.geometry().size());
  for (const SequenceCache* cache : caches) {
    cache->CountHolds(&counts);
    EXPECT_EQ(FirstWrong(pool, tokens, *cache), -1);
    EXPECT_TRUE(cache->CheckInvariants());
  }
  for (const Status& status :
       {pool.CheckInvariants(), prefixes.CheckInvariants(), prefixes.CheckHolders(counts, true)})
    EXPECT_TRUE(status) << status.error().message;
}

// `work` of a cache of 100 tokens and a tree that knows them, once without each of its allocations.
template <typename Work>
void WithoutEachAllocation(Work&& work, int least) {
  const Tokens tokens = Text(1, 300);
  const Tokens begin(tokens.begin(), tokens.begin() + 100);
  int failures = 0;
  for (int fails_at = 0;; ++fails_at) {
    KvHost host;
    auto pool = host.Pool(kHybrid);
    PrefixCache prefixes(*pool);
    SequenceCache cache(*pool);
    ASSERT_TRUE(Compute(*pool, begin, &cache));
    prefixes.Insert("", begin, true, 1, &cache);
    cache.Commit(100);
    SequenceCache other(*pool);
    Status status;
    const bool went_through =
        memory::WithShortage(fails_at, [&] { status = work(tokens, prefixes, cache, other); });
    ExpectSound(*pool, prefixes, tokens, {&cache, &other});
    if (went_through && status && failures >= least) break;
    ASSERT_LT(fails_at, 1000);
    ++failures;
  }
}

TEST(StateShortage, OfHeapLosesNoReservation) {
  WithoutEachAllocation([](const Tokens&, PrefixCache&, SequenceCache& cache,
                           SequenceCache&) { return cache.Reserve(230, 226, Snapshots::kTake); },
                        20);
}

TEST(StateShortage, OfHeapLosesNoFork) {
  WithoutEachAllocation(
      [](const Tokens&, PrefixCache&, SequenceCache& cache, SequenceCache& other) -> Status {
        other = cache.Fork();
        return {};
      },
      5);
}

TEST(StateShortage, OfHeapLosesNothingThatIsFoundOrForgotten) {
  WithoutEachAllocation(
      [](const Tokens& tokens, PrefixCache& prefixes, SequenceCache&,
         SequenceCache& other) -> Status {
        prefixes.Find("", tokens, 2, &other);
        return {};
      },
      5);
  WithoutEachAllocation(
      [](const Tokens&, PrefixCache& prefixes, SequenceCache& cache, SequenceCache&) -> Status {
        cache.Clear();
        prefixes.Evict(9 * 4096, 2);
        prefixes.Evict(UINT64_MAX, 3);
        return {};
      },
      2);
}

TEST(StateShortage, OfHeapRemembersWhatItCan) {
  const Tokens tokens = Text(1, 200);
  for (int fails_at = 0, most = 0;; ++fails_at) {
    KvHost host;
    auto pool = host.Pool(kHybrid);
    PrefixCache prefixes(*pool);
    SequenceCache cache(*pool);
    ASSERT_TRUE(Compute(*pool, tokens, &cache));
    cache.Commit(200);
    memory::WithShortage(fails_at, [&] { prefixes.Insert("", tokens, true, 1, &cache); });
    ExpectSound(*pool, prefixes, tokens, {&cache});
    const auto nodes = static_cast<int>(prefixes.Stats().nodes);
    ASSERT_GE(nodes, most);
    most = nodes;
    if (nodes == 7) break;
    ASSERT_LT(fails_at, 1000);
  }
}

}  // namespace
}  // namespace mirage::kv
