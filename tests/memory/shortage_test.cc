// SPDX-License-Identifier: Apache-2.0

// A store whose thread runs out of heap at any allocation: it throws bad_alloc or goes on, never
// ends the process, and its regions still hold their bytes.

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "fakes.h"
#include "memory/layout.h"
#include "platform/host_stream.h"
#include "tests/memory/heap_shortage.h"

namespace mirage::memory {
namespace {

TEST(Shortage, OfHeapWhileTheModelRunsLosesNoBytes) {
  constexpr size_t kRegions = 10;
  std::mt19937 random(11);
  std::vector<uint64_t> bytes(kRegions);
  for (uint64_t& b : bytes) b = 1 + random() % 200000;
  Host host;
  auto store = host.Store(MakeRegions(bytes), std::make_shared<FakeSource>(), {3, false});
  ASSERT_TRUE(
      store->Load({true, false, true, false, true, false, true, false, true, false}, nullptr));
  auto stream = host.Stream();
  int thrown = 0;
  int succeeded = 0;
  for (int step = 0; step < 20000; ++step) {
    const RegionIndex index = random() % kRegions;
    const int fails_at = static_cast<int>(random() % 12);
    std::vector<RegionIndex> order(random() % 6);
    for (RegionIndex& entry : order) entry = random() % kRegions;
    const unsigned draw = random() % 10;
    const bool went_through = WithShortage(fails_at, [&] {
      if (draw == 0) {
        store->Announce(order);
      } else if (draw == 1) {
        static_cast<void>(store->Lend(index));
      } else if (draw == 2) {
        static_cast<void>(store->Revive(index));
      } else {
        const Result<Lease> lease = store->Acquire(index, *stream);
        const int left = std::exchange(allocations_left, -1);
        if (lease) {
          EXPECT_TRUE(HoldsRegion(lease->data(), 1, index, bytes[index])) << "step " << step;
        }
        allocations_left = left;  // the lease's end may fail to fill ahead, but ends
      }
    });
    ++(went_through ? succeeded : thrown);
    ASSERT_TRUE(stream->Synchronize()) << "step " << step;
    HomeChunks homes(bytes, host.arena.chunk_bytes());
    for (RegionIndex i = 0; i < kRegions; ++i)
      if (store->state(i) == RegionState::kResident) homes.Add(i);
    ASSERT_EQ(host.ledger.Snapshot().by_owner[static_cast<size_t>(Owner::kWeights)], homes.bytes());
  }
  EXPECT_GT(thrown, 1000);
  EXPECT_GT(succeeded, 1000);
  store.reset();
  EXPECT_EQ(host.ledger.Snapshot().used, 0u);
}

TEST(Shortage, OfHeapDuringALoadGivesEverythingBack) {
  int failed_loads = 0;
  for (int fails_at = 0; fails_at < 400; ++fails_at) {
    Host host;
    auto store =
        host.Store(MakeRegions(std::vector<uint64_t>(20, 10000)), std::make_shared<FakeSource>());
    Status loaded;
    const bool went_through =
        WithShortage(fails_at, [&] { loaded = store->Load(std::vector<bool>(20, true), nullptr); });
    if (went_through && loaded) continue;
    ++failed_loads;
    EXPECT_EQ(host.ledger.Snapshot().by_owner[static_cast<size_t>(Owner::kWeights)], 0u);
    EXPECT_TRUE(store->Load(std::vector<bool>(20, true), nullptr));
  }
  EXPECT_GT(failed_loads, 20);
}

}  // namespace
}  // namespace mirage::memory
