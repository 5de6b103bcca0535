// SPDX-License-Identifier: Apache-2.0
#include "memory/region_store.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "fakes.h"
#include "memory/layout.h"
#include "platform/host_stream.h"

namespace mirage::memory {
namespace {

using platform::Event;
using platform::HostStream;
using platform::HostStreams;

constexpr uint64_t kKib = 1024;
constexpr uint64_t kMib = 1024 * kKib;

uint64_t Held(const Host& host, Owner owner) {
  return host.ledger.Snapshot().by_owner[static_cast<size_t>(owner)];
}

std::vector<RegionInfo> EqualRegions(size_t count, uint64_t bytes = 200 * kKib) {
  return MakeRegions(std::vector<uint64_t>(count, bytes));
}

std::vector<RegionIndex> InOrder(size_t count) {
  std::vector<RegionIndex> order(count);
  std::iota(order.begin(), order.end(), 0u);
  return order;
}

std::vector<bool> All(size_t count, bool resident) { return std::vector<bool>(count, resident); }

void AwaitStreamed(const RegionStore& store, uint64_t bytes) {
  while (store.Stats().bytes_streamed < bytes)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

// Time enough for a transfer that should not have begun to begin.
void GiveItAChance() { std::this_thread::sleep_for(std::chrono::milliseconds(50)); }

void ExpectEachReadable(RegionStore& store, platform::Stream& stream) {
  for (RegionIndex i = 0; i < store.region_count(); ++i) {
    Result<Lease> lease = store.Acquire(i, stream);
    ASSERT_TRUE(lease) << lease.error().message;
    EXPECT_TRUE(HoldsRegion(lease->data(), 1, i, store.info(i).bytes));
  }
}

class StoreTest : public testing::TestWithParam<HostStreams> {
 protected:
  std::unique_ptr<HostStream> Stream() {
    return GetParam() == HostStreams::kInline ? platform::MakeInlineStream(host_.pool, host_.clock)
                                              : platform::MakeQueuedStream(host_.pool, host_.clock);
  }
  // Puts a check of the leased bytes on the stream.
  void CheckOnStream(HostStream& stream, const Lease& lease, RegionIndex region, uint64_t bytes) {
    stream.Run([this, data = lease.data(), region, bytes] {
      checked_.fetch_add(1);
      if (!HoldsRegion(data, 1, region, bytes)) wrong_.fetch_add(1);
    });
  }

  std::atomic<int> checked_{0};
  std::atomic<int> wrong_{0};
  Host host_;
  std::shared_ptr<FakeSource> source_ = std::make_shared<FakeSource>();
};

INSTANTIATE_TEST_SUITE_P(Streams, StoreTest,
                         testing::Values(HostStreams::kInline, HostStreams::kQueued),
                         [](const auto& kind) {
                           return kind.param == HostStreams::kInline ? "Inline" : "Queued";
                         });

TEST_P(StoreTest, ResidentRegionsHoldTheSourcesBytes) {
  const std::vector<RegionInfo> regions = MakeRegions({300 * kKib, 100 * kKib, 7, 200 * kKib});
  auto store = host_.Store(regions, source_);
  ASSERT_TRUE(store->Load(All(4, true), nullptr));
  auto stream = Stream();
  for (RegionIndex i = 0; i < 4; ++i) {
    Result<Lease> lease = store->Acquire(i, *stream);
    ASSERT_TRUE(lease);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(lease->data()) % 64, 0u);
    CheckOnStream(*stream, *lease, i, regions[i].bytes);
  }
  ASSERT_TRUE(stream->Synchronize());
  EXPECT_EQ(checked_, 4);
  EXPECT_EQ(wrong_, 0);
  EXPECT_EQ(store->Stats().acquires_streamed, 0u);
  EXPECT_EQ(source_->fills, 4);
  EXPECT_EQ(Held(host_, Owner::kSlots), 0u);  // nothing is lent yet
}

TEST_P(StoreTest, StreamedRegionsHoldTheSourcesBytesStepAfterStep) {
  const std::vector<RegionInfo> regions = EqualRegions(9);
  auto store = host_.Store(regions, source_, {3, false});
  ASSERT_TRUE(store->Load(All(9, false), nullptr));
  auto stream = Stream();
  const std::vector<RegionIndex> order = InOrder(9);
  for (int step = 0; step < 5; ++step) {
    store->Announce(order);
    for (const RegionIndex i : order) {
      Result<Lease> lease = store->Acquire(i, *stream);
      ASSERT_TRUE(lease) << lease.error().message;
      CheckOnStream(*stream, *lease, i, regions[i].bytes);
    }
    ASSERT_TRUE(stream->Synchronize());
  }
  EXPECT_EQ(checked_, 45);
  EXPECT_EQ(wrong_, 0);
  const StoreStats stats = store->Stats();
  EXPECT_EQ(stats.acquires, 45u);
  EXPECT_EQ(stats.acquires_streamed, 45u);
  EXPECT_GE(stats.bytes_streamed,
            uint64_t{45 - 3 * 5} * 200 * kKib);  // the last three of a step may stay
  EXPECT_LE(stats.bytes_streamed, uint64_t{45} * 200 * kKib);
  EXPECT_EQ(Held(host_, Owner::kWeights), 0u);
  EXPECT_EQ(Held(host_, Owner::kSlots), store->slot_bytes());
}

TEST_P(StoreTest, EveryRegionEvictedAndRefilledAfterEveryAcquireHoldsTheSameBytes) {
  const std::vector<RegionInfo> regions =
      MakeRegions({130 * kKib, 64 * kKib, 200 * kKib, 999, 70 * kKib});
  auto store = host_.Store(regions, source_);
  ASSERT_TRUE(store->Load(All(5, true), nullptr));
  auto stream = Stream();
  for (int step = 0; step < 4; ++step) {
    for (RegionIndex i = 0; i < 5; ++i) {
      {
        Result<Lease> lease = store->Acquire(i, *stream);
        ASSERT_TRUE(lease);
        CheckOnStream(*stream, *lease, i, regions[i].bytes);
      }
      for (RegionIndex j = 0; j < 5; ++j) ASSERT_TRUE(store->Lend(j));
      EXPECT_EQ(Held(host_, Owner::kWeights), 0u);
      EXPECT_EQ(store->state(i), RegionState::kLent);
      for (RegionIndex j = 0; j < 5; ++j) ASSERT_TRUE(store->Revive(j));
      EXPECT_EQ(store->state(i), RegionState::kResident);
    }
  }
  ASSERT_TRUE(stream->Synchronize());
  EXPECT_EQ(checked_, 20);
  EXPECT_EQ(wrong_, 0);
  EXPECT_EQ(store->Stats().acquires_streamed, 19u);  // all but the very first
}

TEST_P(StoreTest, AFillThatIsLateIsWaitedForAndCounted) {
  auto store = host_.Store(EqualRegions(3), source_);
  ASSERT_TRUE(store->Load(All(3, false), nullptr));
  auto stream = Stream();
  source_->Hold();
  std::thread releaser([&] {
    source_->AwaitBegun(1);
    GiveItAChance();
    source_->Release();
  });
  Result<Lease> lease = store->Acquire(1, *stream);
  ASSERT_TRUE(lease);
  EXPECT_EQ(store->state(1), RegionState::kStreaming);
  CheckOnStream(*stream, *lease, 1, 200 * kKib);
  ASSERT_TRUE(stream->Synchronize());
  releaser.join();
  EXPECT_EQ(checked_, 1);
  EXPECT_EQ(wrong_, 0);
  EXPECT_GT(store->Stats().unhidden_ns, 0);
}

TEST_P(StoreTest, AFillBeforeItsAcquireIsHidden) {
  auto store = host_.Store(EqualRegions(2), source_);
  ASSERT_TRUE(store->Load(All(2, false), nullptr));
  auto stream = Stream();
  store->Announce(InOrder(2));
  AwaitStreamed(*store, 2 * 200 * kKib);
  for (RegionIndex i = 0; i < 2; ++i) ASSERT_TRUE(store->Acquire(i, *stream));
  ASSERT_TRUE(stream->Synchronize());
  EXPECT_EQ(store->Stats().unhidden_ns, 0);
  EXPECT_GT(store->Stats().hidden_ns, 0);
}

TEST(RegionStore, AnnouncedRegionsAreFilledInOrderAndOnce) {
  Host host(UINT64_MAX, HostStreams::kInline, 1);
  auto source = std::make_shared<FakeSource>();
  auto store = host.Store(EqualRegions(6), source, {2, false});
  std::vector<bool> resident = All(6, false);
  resident[2] = true;
  ASSERT_TRUE(store->Load(resident, nullptr));
  auto stream = host.Stream();
  const std::vector<RegionIndex> order = {4, 2, 0, 5, 1};
  store->Announce(order);
  source->AwaitBegun(3);  // the load's and two ahead, before any acquire
  for (const RegionIndex i : order) ASSERT_TRUE(store->Acquire(i, *stream));
  EXPECT_EQ(source->FillOrder(), (std::vector<RegionIndex>{2, 4, 0, 5, 1}));
}

TEST(RegionStore, AFillThatGaveWayToAnUrgentOneIsDoneAgainAhead) {
  Host host(UINT64_MAX, HostStreams::kInline, 1);
  auto source = std::make_shared<FakeSource>();
  auto store = host.Store(EqualRegions(6), source, {2, false});
  ASSERT_TRUE(store->Load(All(6, false), nullptr));
  auto stream = host.Stream();
  store->Announce(std::vector<RegionIndex>{1, 2});
  source->AwaitBegun(2);
  ASSERT_TRUE(store->Acquire(5, *stream));  // not announced: takes the slot of what is needed last
  source->AwaitBegun(4);
  EXPECT_EQ(source->FillOrder(), (std::vector<RegionIndex>{1, 2, 5, 2}));
  EXPECT_EQ(store->state(1), RegionState::kStreaming);
}

TEST_P(StoreTest, WrongAnnouncementsCostTimeOnly) {
  const std::vector<RegionInfo> regions = EqualRegions(8, 50 * kKib);
  auto store = host_.Store(regions, source_, {2, false});
  ASSERT_TRUE(store->Load(All(8, false), nullptr));
  auto stream = Stream();
  store->Announce(std::vector<RegionIndex>{7, 6, 5, 5, 7});
  for (const RegionIndex i : {0u, 6u, 1u, 5u, 7u, 2u, 5u, 3u}) {
    Result<Lease> lease = store->Acquire(i, *stream);
    ASSERT_TRUE(lease) << lease.error().message;
    CheckOnStream(*stream, *lease, i, regions[i].bytes);
  }
  store->Announce({});
  for (RegionIndex i = 0; i < 8; ++i) {
    Result<Lease> lease = store->Acquire(i, *stream);
    ASSERT_TRUE(lease);
    CheckOnStream(*stream, *lease, i, regions[i].bytes);
  }
  ASSERT_TRUE(stream->Synchronize());
  EXPECT_EQ(checked_, 16);
  EXPECT_EQ(wrong_, 0);
}

TEST_P(StoreTest, LeasesOfOneOpAreLiveTogether) {
  const std::vector<RegionInfo> regions = EqualRegions(6);
  auto store = host_.Store(regions, source_, {3, false});
  ASSERT_TRUE(store->Load(All(6, false), nullptr));
  auto stream = Stream();
  store->Announce(InOrder(6));
  for (RegionIndex first : {0u, 3u}) {
    std::vector<Lease> leases;
    for (RegionIndex i = first; i < first + 3; ++i)
      leases.push_back(store->Acquire(i, *stream).value());
    for (RegionIndex i = first; i < first + 3; ++i)
      CheckOnStream(*stream, leases[i - first], i, 200 * kKib);
  }
  ASSERT_TRUE(stream->Synchronize());
  EXPECT_EQ(checked_, 6);
  EXPECT_EQ(wrong_, 0);
}

TEST_P(StoreTest, MoreLiveLeasesThanSlotsIsAnErrorAndNotADeadlock) {
  auto store = host_.Store(EqualRegions(4), source_, {2, false});
  ASSERT_TRUE(store->Load(All(4, false), nullptr));
  auto stream = Stream();
  {
    Lease first = store->Acquire(0, *stream).value();
    Lease again = store->Acquire(0, *stream).value();  // the same bytes, no further slot
    EXPECT_EQ(first.data(), again.data());
    Lease second = store->Acquire(1, *stream).value();
    Result<Lease> third = store->Acquire(3, *stream);
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().code, Code::kInternal);
    EXPECT_NE(third.error().message.find("all 2 staging slots"), std::string::npos)
        << third.error().message;
    EXPECT_NE(third.error().message.find("region 3"), std::string::npos);
  }
  EXPECT_TRUE(store->Acquire(3, *stream));
  EXPECT_TRUE(stream->Synchronize());
}

// ---- failures ----

TEST_P(StoreTest, AFillThatFailsWhileTheStreamWaitsFailsTheStreamAndIsTriedAgain) {
  auto store = host_.Store(EqualRegions(3), source_);
  ASSERT_TRUE(store->Load(All(3, false), nullptr));
  auto stream = Stream();
  source_->FailNext(1);
  source_->Hold();
  std::thread releaser([&] {
    source_->AwaitBegun(1);
    GiveItAChance();
    source_->Release();
  });
  {
    Result<Lease> lease = store->Acquire(1, *stream);
    ASSERT_TRUE(lease);
    CheckOnStream(*stream, *lease, 1, 200 * kKib);
  }
  const Status status = stream->Synchronize();
  releaser.join();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kIo);
  EXPECT_NE(status.error().message.find("region 1 (model 0, layer 1"), std::string::npos)
      << status.error().message;
  EXPECT_EQ(checked_, 0);
  {
    Result<Lease> lease = store->Acquire(1, *stream);
    ASSERT_TRUE(lease) << lease.error().message;
    CheckOnStream(*stream, *lease, 1, 200 * kKib);
  }
  EXPECT_TRUE(stream->Synchronize());
  EXPECT_EQ(checked_, 1);
  EXPECT_EQ(wrong_, 0);
}

TEST(RegionStore, AFillThatFailedAheadIsReportedByAcquireOnceAndTriedAgain) {
  Host host(UINT64_MAX, HostStreams::kInline, 1);
  auto source = std::make_shared<FakeSource>();
  auto store = host.Store(EqualRegions(3), source, {2, false});
  ASSERT_TRUE(store->Load(All(3, false), nullptr));
  auto stream = host.Stream();
  source->FailNext(1);
  store->Announce(std::vector<RegionIndex>{1, 0});
  AwaitStreamed(*store, 200 * kKib);  // the one worker is past region 1
  const Result<Lease> refused = store->Acquire(1, *stream);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kIo);
  EXPECT_NE(refused.error().message.find("region 1"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(stream->Synchronize());
  for (RegionIndex i = 0; i < 3; ++i) {
    Result<Lease> lease = store->Acquire(i, *stream);
    ASSERT_TRUE(lease) << lease.error().message;
    EXPECT_TRUE(HoldsRegion(lease->data(), 1, i, 200 * kKib));
  }
}

TEST_P(StoreTest, ARevivalThatFailsIsTriedAgainByALaterAcquire) {
  auto store = host_.Store(EqualRegions(2), source_);
  ASSERT_TRUE(store->Load(All(2, true), nullptr));
  auto stream = Stream();
  ASSERT_TRUE(store->Lend(0));
  source_->FailNext(0);
  ASSERT_TRUE(store->Revive(0));
  // The failure comes from the acquire or, where that came before the fill had failed, from the
  // stream.
  bool reported = !store->Acquire(0, *stream);
  reported |= !stream->Synchronize();
  EXPECT_TRUE(reported);
  Result<Lease> lease = store->Acquire(0, *stream);
  ASSERT_TRUE(lease) << lease.error().message;
  CheckOnStream(*stream, *lease, 0, 200 * kKib);
  EXPECT_TRUE(stream->Synchronize());
  EXPECT_EQ(checked_, 1);
  EXPECT_EQ(wrong_, 0);
}

// ---- taking bytes ----

TEST(RegionStore, BytesOfASlotAreNotOverwrittenBeforeTheLeasesEvent) {
  Host host;
  auto source = std::make_shared<FakeSource>();
  auto store = host.Store(EqualRegions(4), source, {2, false});
  ASSERT_TRUE(store->Load(All(4, false), nullptr));
  auto stream = platform::MakeQueuedStream(host.pool, host.clock);
  const Event release = Event::Pending();
  bool right = false;
  for (const RegionIndex i : {0u, 1u}) {
    Lease lease = store->Acquire(i, *stream).value();
    if (i == 0) {
      stream->Run([&right, release, data = lease.data()] {
        static_cast<void>(release.Wait());
        right = HoldsRegion(data, 1, 0, 200 * kKib);
      });
    }
  }
  // Both leases have ended, but the stream has not passed their ends: fills may be ordered, none
  // may begin.
  Lease third = store->Acquire(2, *stream).value();
  Lease fourth = store->Acquire(3, *stream).value();
  GiveItAChance();
  EXPECT_EQ(source->fills, 2);
  release.Signal();
  ASSERT_TRUE(stream->Synchronize());
  EXPECT_EQ(source->fills, 4);
  EXPECT_TRUE(right);
}

TEST(RegionStore, LendingWaitsUntilTheStreamHasPassedTheLastLease) {
  Host host;
  auto source = std::make_shared<FakeSource>();
  auto store = host.Store(EqualRegions(2), source);
  ASSERT_TRUE(store->Load(All(2, true), nullptr));
  auto first = platform::MakeQueuedStream(host.pool, host.clock);
  auto second = platform::MakeQueuedStream(host.pool, host.clock);
  const Event release = Event::Pending();
  std::atomic<int> right{0};
  for (platform::HostStream* stream : {first.get(), second.get()}) {
    Lease lease = store->Acquire(0, *stream).value();
    stream->Run([&right, release, data = lease.data()] {
      static_cast<void>(release.Wait());
      if (HoldsRegion(data, 1, 0, 200 * kKib)) right.fetch_add(1);
    });
  }
  std::thread releaser([&] {
    GiveItAChance();
    release.Signal();
  });
  ASSERT_TRUE(store->Lend(0));
  EXPECT_EQ(right, 2);
  releaser.join();
}

TEST(RegionStore, ARegionWithALiveLeaseIsBusy) {
  Host host;
  auto store = host.Store(EqualRegions(2), std::make_shared<FakeSource>());
  ASSERT_TRUE(store->Load(All(2, true), nullptr));
  auto stream = host.Stream();
  Lease lease = store->Acquire(0, *stream).value();
  const Status status = store->Lend(0);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kBusy);
  EXPECT_EQ(store->state(0), RegionState::kResident);
  lease.End();
  EXPECT_EQ(lease.data(), nullptr);
  EXPECT_TRUE(store->Lend(0));
}

TEST(RegionStore, RevivingWithoutRoomChangesNothing) {
  Host host;
  auto source = std::make_shared<FakeSource>();
  auto store = host.Store(EqualRegions(4, 128 * kKib), source);
  ASSERT_TRUE(store->Load({true, true, true, false}, nullptr));
  const LedgerSnapshot before = host.ledger.Snapshot();
  host.ledger.SetLimit(before.used);
  const Status status = store->Revive(3);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kOutOfMemory);
  EXPECT_NE(status.error().message.find("region 3"), std::string::npos);
  EXPECT_EQ(store->state(3), RegionState::kLent);
  EXPECT_EQ(host.ledger.Snapshot().used, before.used);
  // A neighbour's bytes make room; chunks hold whole regions here.
  ASSERT_TRUE(store->Lend(1));
  EXPECT_TRUE(store->Revive(3));
}

TEST(RegionStore, ALimitLoweredBelowUseIsMetByLending) {
  Host host;
  auto source = std::make_shared<FakeSource>();
  const std::vector<RegionInfo> regions = EqualRegions(8, 256 * kKib);
  auto store = host.Store(regions, source);
  std::vector<bool> resident = All(8, true);
  resident[7] = false;
  ASSERT_TRUE(store->Load(resident, nullptr));
  host.ledger.SetLimit(kMib + 256 * kKib);
  ASSERT_GT(host.ledger.over_limit(), 0u);
  auto stream = host.Stream();
  ASSERT_TRUE(store->Acquire(7, *stream));  // what is backed stays usable
  for (RegionIndex i = 0; host.ledger.over_limit() > 0; ++i) ASSERT_TRUE(store->Lend(i));
  EXPECT_EQ(store->state(2), RegionState::kLent);
  ExpectEachReadable(*store, *stream);
}

// Far above a lowered limit nothing of what is given back is available to anybody.
TEST(RegionStore, TheFirstOnesLentAboveALoweredLimitBackTheSlotsOrStay) {
  Host host;
  const std::vector<RegionInfo> regions = EqualRegions(8, 256 * kKib);
  auto store = host.Store(regions, std::make_shared<FakeSource>());
  ASSERT_TRUE(store->Load(All(8, true), nullptr));
  const uint64_t used = host.ledger.Snapshot().used;
  host.ledger.SetLimit(256 * kKib);
  // Less than the slots take: it goes back.
  ASSERT_LT(regions[0].bytes, store->slot_bytes());
  EXPECT_EQ(store->Lend(0).error().code, Code::kOutOfMemory);
  EXPECT_EQ(store->state(0), RegionState::kResident);
  EXPECT_EQ(host.ledger.Snapshot().used, used);
  ASSERT_TRUE(store->Lend(std::vector<RegionIndex>{0, 2, 4, 6}));
  EXPECT_EQ(host.ledger.Snapshot().used, used - 4 * regions[0].bytes + store->slot_bytes());
  ExpectEachReadable(*store, *host.Stream());
}

TEST(RegionStore, LentBytesServeAnotherOwner) {
  Host host(kMib + 800 * kKib);
  auto store = host.Store(EqualRegions(4, 256 * kKib), std::make_shared<FakeSource>());
  ASSERT_TRUE(store->Load({true, true, true, false}, nullptr));
  const Range kv = host.arena.Reserve(kMib).value();
  EXPECT_FALSE(host.arena.Back(kv, 0, kMib, Owner::kKv));
  ASSERT_TRUE(store->Lend(0));
  ASSERT_TRUE(store->Lend(2));
  EXPECT_TRUE(host.arena.Back(kv, 0, kMib, Owner::kKv));
  EXPECT_EQ(store->Revive(0).error().code, Code::kOutOfMemory);
  host.arena.Unback(kv, 0, kMib);
  EXPECT_TRUE(store->Revive(0));
  host.arena.Release(kv);
}

TEST(RegionStore, ALeaseOnASlotSurvivesTheRegionsComingHome) {
  Host host;
  auto store = host.Store(EqualRegions(4), std::make_shared<FakeSource>(), {2, false});
  ASSERT_TRUE(store->Load({false, true, false, false}, nullptr));
  auto stream = host.Stream();
  Lease streamed = store->Acquire(0, *stream).value();
  ASSERT_TRUE(store->Revive(0));
  Lease home = store->Acquire(0, *stream).value();
  EXPECT_NE(streamed.data(), home.data());
  for (const RegionIndex i : {2u, 3u, 2u, 3u})
    ASSERT_TRUE(store->Acquire(i, *stream));  // through the other slot
  EXPECT_TRUE(HoldsRegion(streamed.data(), 1, 0, 200 * kKib));
  EXPECT_TRUE(HoldsRegion(home.data(), 1, 0, 200 * kKib));
}

TEST(RegionStore, AddressesOfHomesAndSlotsAreStable) {
  Host host;
  const std::vector<RegionInfo> regions = MakeRegions({1000, 2000, 64, 200 * kKib});
  auto store = host.Store(regions, std::make_shared<FakeSource>());
  ASSERT_TRUE(store->Load(All(4, true), nullptr));
  auto stream = host.Stream();
  std::vector<const std::byte*> homes;
  for (RegionIndex i = 0; i < 4; ++i) homes.push_back(store->Acquire(i, *stream)->data());
  EXPECT_EQ(homes[1] - homes[0], 1024);
  EXPECT_EQ(homes[3] - homes[2],
            64);  // adjacent regions whose bytes are a multiple of 64 are one span
  for (RegionIndex i = 0; i < 4; ++i) {
    ASSERT_TRUE(store->Lend(i));
    ASSERT_TRUE(store->Revive(i));
    EXPECT_EQ(store->Acquire(i, *stream)->data(), homes[i]);
  }
}

// ---- loading ----

TEST(RegionStore, LoadReportsProgressUpToTheWhole) {
  Host host;
  auto store = host.Store(EqualRegions(20, 10 * kKib), std::make_shared<FakeSource>());
  uint64_t last = 0;
  int calls = 0;
  ASSERT_TRUE(store->Load(All(20, true), [&](uint64_t done, uint64_t total) {
    EXPECT_EQ(total, 200 * kKib);
    EXPECT_GE(done, last);
    last = done;
    ++calls;
    return true;
  }));
  EXPECT_EQ(last, 200 * kKib);
  EXPECT_EQ(calls, 21);
  EXPECT_EQ(store->Stats().bytes_resident, 200 * kKib);
  EXPECT_EQ(store->Load(All(20, true), nullptr).error().code, Code::kInternal);
}

TEST(RegionStore, ACancelledLoadGivesEverythingBackAndCanBeRepeated) {
  Host host;
  auto source = std::make_shared<FakeSource>();
  auto store = host.Store(EqualRegions(40, 100 * kKib), source);
  for (const uint64_t cancel_at : {uint64_t{0}, uint64_t{1}, 2000 * kKib}) {
    const Status status =
        store->Load(All(40, true), [&](uint64_t done, uint64_t) { return done < cancel_at; });
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::kCancelled);
    EXPECT_EQ(Held(host, Owner::kWeights), 0u);
    EXPECT_EQ(store->state(0), RegionState::kLent);
    EXPECT_EQ(store->Stats().bytes_resident, 0u);
  }
  EXPECT_LT(source->fills, 40 + 20);
  ASSERT_TRUE(store->Load(All(40, true), nullptr));
  auto stream = host.Stream();
  for (RegionIndex i = 0; i < 40; ++i)
    EXPECT_TRUE(HoldsRegion(store->Acquire(i, *stream)->data(), 1, i, 100 * kKib));
}

TEST(RegionStore, AnExceptionOfTheProgressCallbackGivesEverythingBack) {
  Host host;
  auto store = host.Store(EqualRegions(10), std::make_shared<FakeSource>());
  const auto load = [&] {
    return store->Load(All(10, true), [](uint64_t done, uint64_t) -> bool {
      if (done > 0) throw std::runtime_error("callback");
      return true;
    });
  };
  EXPECT_THROW(static_cast<void>(load()), std::runtime_error);
  EXPECT_EQ(Held(host, Owner::kWeights), 0u);
}

TEST(RegionStore, ALoadWhoseSourceFailsNamesTheRegionAndGivesEverythingBack) {
  Host host;
  auto source = std::make_shared<FakeSource>();
  auto store = host.Store(EqualRegions(10), source);
  source->FailNext(7);
  const Status status = store->Load(All(10, true), nullptr);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kIo);
  EXPECT_NE(status.error().message.find("region 7"), std::string::npos);
  EXPECT_EQ(Held(host, Owner::kWeights), 0u);
}

TEST(RegionStore, ALoadBeyondTheLimitGivesEverythingBack) {
  Host host(kMib);
  auto store = host.Store(EqualRegions(10), std::make_shared<FakeSource>());
  const Status status = store->Load(All(10, true), nullptr);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kOutOfMemory);
  EXPECT_EQ(Held(host, Owner::kWeights), 0u);
}

TEST(RegionStore, BadOptionsAreNamed) {
  Host host;
  auto source = std::make_shared<FakeSource>();
  EXPECT_EQ(
      RegionStore::Create(host.arena, *host.transfer, host.clock, {}, source, {}).error().code,
      Code::kInvalidArgument);
  for (const int slots : {-1, 1, 1000000})
    EXPECT_EQ(RegionStore::Create(host.arena, *host.transfer, host.clock, EqualRegions(2), source,
                                  {slots, false})
                  .error()
                  .code,
              Code::kInvalidArgument);
  EXPECT_EQ(
      RegionStore::Create(host.arena, *host.transfer, host.clock, MakeRegions({10, 0}), source, {})
          .error()
          .code,
      Code::kInvalidArgument);
  EXPECT_EQ(RegionStore::Create(host.arena, *host.transfer, host.clock,
                                MakeRegions({UINT64_MAX, UINT64_MAX}), source, {})
                .error()
                .code,
            Code::kInvalidArgument);
  EXPECT_EQ(host.ledger.Snapshot().used, 0u);
  auto store = host.Store(EqualRegions(2), source, {0, false});
  EXPECT_FALSE(store->Load({true, false}, nullptr));
  ASSERT_TRUE(store->Load({true, true}, nullptr));
  EXPECT_FALSE(store->Lend(0));
  auto stream = host.Stream();
  EXPECT_EQ(store->Acquire(2, *stream).error().code, Code::kInternal);
}

// ---- mapped ----

class MappedStoreTest : public testing::Test {
 protected:
  MappedStoreTest() { source_->MapAll(regions_); }
  void LoadMapped() {
    store_ = host_.Store(regions_, source_, {2, true});
    ASSERT_TRUE(store_->Load(All(regions_.size(), true), nullptr));
  }

  Host host_;
  std::vector<RegionInfo> regions_ = EqualRegions(6, 256 * kKib);
  std::shared_ptr<FakeSource> source_ = std::make_shared<FakeSource>();
  std::unique_ptr<RegionStore> store_;
};

TEST_F(MappedStoreTest, RegionsAreReadInPlaceAndCounted) {
  LoadMapped();
  auto stream = host_.Stream();
  for (RegionIndex i = 0; i < 6; ++i) {
    EXPECT_EQ(store_->state(i), RegionState::kMapped);
    EXPECT_EQ(store_->Acquire(i, *stream)->data(), source_->mapped[i].data());
  }
  EXPECT_EQ(source_->fills, 0);
  EXPECT_EQ(Held(host_, Owner::kMapped), 6 * 256 * kKib);
  EXPECT_EQ(Held(host_, Owner::kWeights), 0u);
  EXPECT_EQ(store_->Stats().bytes_mapped, 6 * 256 * kKib);
  store_.reset();
  EXPECT_EQ(host_.ledger.Snapshot().used, 0u);
}

TEST_F(MappedStoreTest, ARegionIsLentAndComesHomeWhileOthersStayMapped) {
  LoadMapped();
  auto stream = host_.Stream();
  ASSERT_TRUE(store_->Lend(3));
  EXPECT_EQ(store_->state(3), RegionState::kLent);
  EXPECT_EQ(store_->state(2), RegionState::kMapped);
  EXPECT_EQ(source_->dropped, std::vector<RegionIndex>{3});
  EXPECT_EQ(Held(host_, Owner::kMapped), 5 * 256 * kKib);
  EXPECT_TRUE(HoldsRegion(store_->Acquire(3, *stream)->data(), 1, 3, regions_[3].bytes));
  ASSERT_TRUE(store_->Revive(3));
  EXPECT_EQ(store_->state(3), RegionState::kResident);
  EXPECT_TRUE(HoldsRegion(store_->Acquire(3, *stream)->data(), 1, 3, regions_[3].bytes));
  store_.reset();
  EXPECT_EQ(host_.ledger.Snapshot().used, 0u);
}

TEST_F(MappedStoreTest, LeavingTheMappingNeverHoldsARegionTwice) {
  LoadMapped();
  auto stream = host_.Stream();
  const uint64_t before = host_.ledger.Snapshot().used;
  host_.ledger.SetLimit(before);  // not a byte to spare
  for (RegionIndex i = 0; i < 6; ++i) ASSERT_TRUE(store_->LeaveMapping(i));
  EXPECT_EQ(host_.ledger.Snapshot().peak, before);
  EXPECT_EQ(Held(host_, Owner::kMapped), 0u);
  EXPECT_EQ(source_->dropped, InOrder(6));
  for (RegionIndex i = 0; i < 6; ++i) {
    EXPECT_EQ(store_->state(i), RegionState::kResident);
    Lease lease = store_->Acquire(i, *stream).value();
    EXPECT_NE(lease.data(), source_->mapped[i].data());
    EXPECT_TRUE(HoldsRegion(lease.data(), 1, i, regions_[i].bytes));
  }
}

TEST_F(MappedStoreTest, WhatCannotBackTheSlotsAboveALoweredLimitStaysMapped) {
  LoadMapped();
  auto stream = host_.Stream();
  const uint64_t before = host_.ledger.Snapshot().used;
  host_.ledger.SetLimit(256 * kKib);
  ASSERT_LT(regions_[1].bytes, store_->slot_bytes());
  EXPECT_EQ(store_->Lend(1).error().code, Code::kOutOfMemory);
  EXPECT_EQ(store_->state(1), RegionState::kMapped);
  EXPECT_EQ(host_.ledger.Snapshot().used, before);
  EXPECT_TRUE(HoldsRegion(store_->Acquire(1, *stream)->data(), 1, 1, regions_[1].bytes));
}

// Of regions that end within a chunk, homes may take more than the mapping gave.
TEST_F(MappedStoreTest, WhatHasNoRoomForItsHomeLeavesTheMappingLent) {
  regions_ = EqualRegions(6, 200 * kKib);
  LoadMapped();
  auto stream = host_.Stream();
  ASSERT_TRUE(store_->Lend(std::vector<RegionIndex>{1, 2, 4}));
  host_.ledger.SetLimit(host_.ledger.Snapshot().used);
  for (RegionIndex i = 0; i < 6; ++i) ASSERT_TRUE(store_->LeaveMapping(i));
  EXPECT_EQ(store_->state(0), RegionState::kLent);
  EXPECT_EQ(store_->state(3), RegionState::kResident);
  EXPECT_EQ(Held(host_, Owner::kMapped), 0u);
  EXPECT_FALSE(store_->any_mapped());
  EXPECT_EQ(host_.ledger.over_limit(), 0u);
  for (RegionIndex i = 0; i < 6; ++i)
    EXPECT_TRUE(HoldsRegion(store_->Acquire(i, *stream)->data(), 1, i, regions_[i].bytes));
}

TEST_F(MappedStoreTest, WhatHasNoRoomForAHomeNorForSlotsStaysMapped) {
  regions_ = EqualRegions(6, 200 * kKib);
  LoadMapped();
  auto stream = host_.Stream();
  host_.ledger.SetLimit(host_.ledger.Snapshot().used);
  EXPECT_EQ(store_->LeaveMapping(1).error().code, Code::kOutOfMemory);
  EXPECT_EQ(store_->state(1), RegionState::kMapped);
  EXPECT_EQ(store_->Acquire(1, *stream)->data(), source_->mapped[1].data());
}

TEST_F(MappedStoreTest, ARegionWithALiveLeaseStaysMapped) {
  LoadMapped();
  auto stream = host_.Stream();
  Lease lease = store_->Acquire(2, *stream).value();
  EXPECT_EQ(store_->LeaveMapping(2).error().code, Code::kBusy);
  EXPECT_EQ(store_->state(2), RegionState::kMapped);
  EXPECT_TRUE(HoldsRegion(lease.data(), 1, 2, regions_[2].bytes));
  lease.End();
  EXPECT_TRUE(store_->LeaveMapping(2));
  EXPECT_EQ(store_->state(2), RegionState::kResident);
}

TEST_F(MappedStoreTest, RegionsTheSourceCannotMapAreFilled) {
  source_->mapped[3].clear();
  LoadMapped();
  EXPECT_EQ(store_->state(2), RegionState::kMapped);
  EXPECT_EQ(store_->state(3), RegionState::kResident);
  EXPECT_EQ(source_->fills, 1);
}

TEST_F(MappedStoreTest, AMappedLoadBeyondTheLimitGivesEverythingBack) {
  host_.ledger.SetLimit(kMib);
  store_ = host_.Store(regions_, source_, {2, true});
  EXPECT_EQ(store_->Load(All(6, true), nullptr).error().code, Code::kOutOfMemory);
  EXPECT_EQ(Held(host_, Owner::kMapped), 0u);
}

// ---- several models ----

TEST(RegionStore, TwoModelsOfDifferentGeometryDrawFromOneLedger) {
  Host host(4 * kMib);
  const std::vector<RegionInfo> large = EqualRegions(6, 384 * kKib);
  const std::vector<RegionInfo> small = EqualRegions(40, 24 * kKib);
  auto first = host.Store(large, std::make_shared<FakeSource>(1));
  auto second = host.Store(small, std::make_shared<FakeSource>(2));
  ASSERT_TRUE(first->Load(All(6, true), nullptr));
  std::vector<bool> half = All(40, false);
  std::fill(half.begin(), half.begin() + 20, true);
  ASSERT_TRUE(second->Load(half, nullptr));
  const LedgerSnapshot loaded = host.ledger.Snapshot();
  EXPECT_EQ(loaded.by_owner[static_cast<size_t>(Owner::kWeights)], 6 * 384 * kKib + 512 * kKib);

  auto stream = host.Stream();
  // The second model takes what the first lends, and both still read what is theirs.
  RegionIndex revived = 20;
  for (RegionIndex lent = 0; lent < 3; ++lent) {
    ASSERT_TRUE(first->Lend(lent));
    while (revived < 40 && second->Revive(revived)) ++revived;
  }
  EXPECT_EQ(revived, 40u);
  EXPECT_LE(host.ledger.Snapshot().peak, 4 * kMib);
  first->Announce(InOrder(6));
  for (int step = 0; step < 2; ++step) {
    for (RegionIndex i = 0; i < 40; ++i) {
      EXPECT_TRUE(HoldsRegion(second->Acquire(i, *stream)->data(), 2, i, 24 * kKib));
      EXPECT_TRUE(HoldsRegion(first->Acquire(i % 6, *stream)->data(), 1, i % 6, 384 * kKib));
    }
  }
  first.reset();
  second.reset();
  EXPECT_EQ(host.ledger.Snapshot().used, 0u);
}

TEST(RegionStore, AnEndedStoreGivesBackWhatItHeldWithFillsUnderWay) {
  Host host;
  auto source = std::make_shared<FakeSource>();
  auto store = host.Store(EqualRegions(8), source, {4, false});
  ASSERT_TRUE(store->Load({true, true, false, false, false, false, false, false}, nullptr));
  source->Hold();
  store->Announce(InOrder(8));
  source->AwaitBegun(3);
  std::thread releaser([&] {
    GiveItAChance();
    source->Release();
  });
  store.reset();
  EXPECT_EQ(host.ledger.Snapshot().used, 0u);
  releaser.join();
}

}  // namespace
}  // namespace mirage::memory
