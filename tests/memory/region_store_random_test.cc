// SPDX-License-Identifier: Apache-2.0

// A store driven by chance for a hundred thousand steps, against a model of it that is a few
// vectors.

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "fakes.h"
#include "memory/layout.h"
#include "platform/host_stream.h"
#include "platform/sim_device.h"

namespace mirage::memory {
namespace {

constexpr uint64_t kChunk = 4096;
constexpr int kSlots = 3;
constexpr size_t kRegions = 24;

enum class StreamKind { kInline, kQueued };

class RandomStore {
 public:
  RandomStore(uint32_t seed, StreamKind kind) : random_(seed) {
    platform::SimOptions options;
    options.chunk_bytes = kChunk;
    device_ = std::make_unique<platform::SimDevice>(virtual_clock_, options);
    arena_ = std::make_unique<Arena>(*device_, ledger_);
    for (size_t i = 0; i < kRegions; ++i)
      bytes_.push_back(1 + random_() % (random_() % 4 == 0 ? 200 : 9000));
    store_ = RegionStore::Create(*arena_, *transfer_, clock_, MakeRegions(bytes_), source_,
                                 {kSlots, false})
                 .value();
    for (size_t i = 0; i < kRegions; ++i) resident_.push_back(random_() % 2 == 0);
    resident_[0] = false;
    EXPECT_TRUE(store_->Load(resident_, nullptr));
    stream_ = kind == StreamKind::kInline ? platform::MakeInlineStream(pool_, clock_)
                                          : platform::MakeQueuedStream(pool_, clock_);
    leases_.resize(kRegions);
    home_leases_.assign(kRegions, 0);
  }

  void Step() {
    const unsigned draw = random_() % 100;
    if (draw < 4) {
      Announce();
    } else if (draw < 52) {
      Acquire();
    } else if (draw < 86) {
      EndSome();
    } else if (draw < 90) {
      Lend();
    } else if (draw < 94) {
      Revive();
    } else if (draw < 95) {
      InjectFailure();
    } else if (draw < 96) {
      ChangeLimit();
    } else {
      Synchronize();
    }
    Check();
  }

  void Finish() {
    for (auto& of_region : leases_) of_region.clear();
    Synchronize();
    EXPECT_EQ(wrong_, 0);
    EXPECT_GT(checked_, 1000);
    const StoreStats stats = store_->Stats();
    EXPECT_EQ(stats.acquires, acquired_);
    EXPECT_GT(stats.acquires_streamed * 2,
              stats.acquires);  // most accesses were to refilled memory
    store_.reset();
    EXPECT_EQ(ledger_.Snapshot().used, 0u);
  }

 private:
  struct Live {
    Lease lease;
    bool in_slot;
  };

  RegionIndex AnyRegion() { return random_() % kRegions; }

  void Announce() {
    std::vector<RegionIndex> order(random_() % 40);
    RegionIndex at = AnyRegion();
    for (RegionIndex& entry : order)
      entry = at = random_() % 4 == 0 ? AnyRegion() : (at + 1) % kRegions;
    store_->Announce(order);
    announced_ = order;
    next_announced_ = 0;
  }

  // The announced order most of the time.
  RegionIndex NextToAcquire() {
    if (next_announced_ < announced_.size() && random_() % 10 != 0)
      return announced_[next_announced_++];
    return AnyRegion();
  }

  // Live leases on slots, of distinct regions: those that cannot be given to another.
  int SlotsInUse() const {
    int used = 0;
    for (const auto& of_region : leases_) {
      bool in_slot = false;
      for (const Live& live : of_region) in_slot |= live.in_slot;
      used += in_slot ? 1 : 0;
    }
    return used;
  }

  void Acquire() {
    const RegionIndex index = NextToAcquire();
    bool held_in_slot = false;
    for (const Live& live : leases_[index]) held_in_slot |= live.in_slot;
    Result<Lease> lease = store_->Acquire(index, *stream_);
    if (!lease) {
      if (lease.error().code == Code::kInternal) {
        ASSERT_FALSE(resident_[index]);
        ASSERT_EQ(SlotsInUse(), kSlots) << lease.error().message;
      } else {
        ASSERT_EQ(lease.error().code, Code::kIo) << lease.error().message;
        ReportFailure();
      }
      return;
    }
    ++acquired_;
    ASSERT_TRUE(resident_[index] || held_in_slot || SlotsInUse() < kSlots || failures_ > 0);
    stream_->Run([this, data = lease->data(), index, bytes = bytes_[index]] {
      checked_.fetch_add(1);
      if (!HoldsRegion(data, 1, index, bytes)) wrong_.fetch_add(1);
    });
    leases_[index].push_back({std::move(*lease), !resident_[index]});
    if (resident_[index]) ++home_leases_[index];
  }

  void EndSome() {
    const RegionIndex index = AnyRegion();
    for (RegionIndex i = 0; i < kRegions; ++i) {
      auto& of_region = leases_[(index + i) % kRegions];
      if (of_region.empty()) continue;
      if (!of_region.back().in_slot) --home_leases_[(index + i) % kRegions];
      of_region.pop_back();
      if (random_() % 3 == 0) return;
    }
  }

  void Lend() {
    const RegionIndex index = AnyRegion();
    const Status status = store_->Lend(index);
    if (!resident_[index]) {
      ASSERT_TRUE(status);
    } else if (home_leases_[index] > 0) {
      ASSERT_FALSE(status);
      ASSERT_EQ(status.error().code, Code::kBusy);
    } else {
      ASSERT_TRUE(status) << status.error().message;
      resident_[index] = false;
    }
  }

  void Revive() {
    const RegionIndex index = AnyRegion();
    const uint64_t cost = ResidentChunks().CostOf(index);
    const uint64_t available = ledger_.available();
    const Status status = store_->Revive(index);
    if (resident_[index]) {
      ASSERT_TRUE(status);
    } else if (cost > available) {
      ASSERT_FALSE(status);
      ASSERT_EQ(status.error().needed_bytes, cost);
      ASSERT_EQ(status.error().available_bytes, available);
    } else {
      ASSERT_TRUE(status) << status.error().message;
      resident_[index] = true;
    }
  }

  void InjectFailure() {
    source_->FailNext(AnyRegion());
    ++failures_;
  }

  // A failed fill may be seen by several streams' worth of leases, but only if one was injected.
  void ReportFailure() { ASSERT_GT(failures_, 0); }

  void ChangeLimit() {
    const uint64_t used = ledger_.Snapshot().used;
    ledger_.SetLimit(random_() % 3 == 0 ? used - used / 4 : used + random_() % (20 * kChunk));
  }

  void Synchronize() {
    const Status status = stream_->Synchronize();
    if (!status) {
      ASSERT_EQ(status.error().code, Code::kIo) << status.error().message;
      ReportFailure();
    }
  }

  HomeChunks ResidentChunks() const {
    HomeChunks chunks(bytes_, kChunk);
    for (size_t i = 0; i < kRegions; ++i)
      if (resident_[i]) chunks.Add(i);
    return chunks;
  }

  void Check() {
    const LedgerSnapshot snapshot = ledger_.Snapshot();
    ASSERT_EQ(snapshot.by_owner[static_cast<size_t>(Owner::kWeights)], ResidentChunks().bytes());
    ASSERT_EQ(snapshot.by_owner[static_cast<size_t>(Owner::kSlots)], store_->slot_bytes());
    int streaming = 0;
    for (RegionIndex i = 0; i < kRegions; ++i) {
      ASSERT_EQ(store_->state(i) == RegionState::kResident, resident_[i]);
      if (store_->state(i) == RegionState::kStreaming) ++streaming;
    }
    ASSERT_LE(streaming, kSlots);
    ASSERT_EQ(wrong_, 0);
  }

  std::mt19937 random_;
  std::vector<uint64_t> bytes_;
  VirtualClock virtual_clock_;
  SteadyClock clock_;
  platform::ThreadPool pool_{1};
  Ledger ledger_{UINT64_MAX};
  std::unique_ptr<platform::SimDevice> device_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<TransferEngine> transfer_ = MakeHostTransferEngine(2);
  std::shared_ptr<FakeSource> source_ = std::make_shared<FakeSource>();
  std::unique_ptr<RegionStore> store_;
  std::unique_ptr<platform::HostStream> stream_;
  std::vector<std::vector<Live>> leases_;

  // What must be true.
  std::vector<bool> resident_;
  std::vector<int> home_leases_;
  std::vector<RegionIndex> announced_;
  size_t next_announced_ = 0;
  uint64_t acquired_ = 0;
  int failures_ = 0;
  std::atomic<int> checked_{0};
  std::atomic<int> wrong_{0};
};

void RunSteps(uint32_t seed, StreamKind kind, int steps) {
  RandomStore store(seed, kind);
  for (int step = 0; step < steps && !testing::Test::HasFatalFailure(); ++step) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", step " + std::to_string(step));
    store.Step();
  }
  store.Finish();
}

TEST(RegionStoreRandom, AHundredThousandStepsOnAnInlineStream) {
  for (uint32_t seed = 0; seed < 10; ++seed) RunSteps(seed, StreamKind::kInline, 10000);
}

TEST(RegionStoreRandom, AHundredThousandStepsOnAQueuedStream) {
  for (uint32_t seed = 100; seed < 110; ++seed) RunSteps(seed, StreamKind::kQueued, 10000);
}

}  // namespace
}  // namespace mirage::memory
