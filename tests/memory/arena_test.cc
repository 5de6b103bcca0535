// SPDX-License-Identifier: Apache-2.0
#include "memory/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "fakes.h"
#include "platform/sim_device.h"
#include "platform/text_file.h"

namespace mirage::memory {
namespace {

constexpr uint64_t kChunk = 4096;

uint64_t Held(const Ledger& ledger, Owner owner) {
  return ledger.Snapshot().by_owner[static_cast<size_t>(owner)];
}

uint64_t AnonymousBytes() {
  return platform::FindNumber(platform::ReadText("/proc/self/status").value(), "RssAnon").value() *
         1024;
}

platform::SimOptions SmallChunks(bool contents = true) {
  platform::SimOptions options;
  options.chunk_bytes = kChunk;
  options.contents = contents;
  return options;
}

// A device that refuses, and counts what is backed.
class CountingDevice final : public platform::Device {
 public:
  const std::string& name() const override { return name_; }
  const Clock& clock() const override { return clock_; }
  uint64_t chunk_bytes() const override { return kChunk; }
  Result<std::byte*> ReserveAddresses(uint64_t bytes) override {
    return reinterpret_cast<std::byte*>(next_base_.fetch_add(bytes));
  }
  void ReleaseAddresses(std::byte*, uint64_t) override {}
  Status Back(std::byte* base, uint64_t bytes) override {
    if (refuse_at != nullptr && base <= refuse_at && refuse_at < base + bytes)
      return OutOfMemory("the device refuses", bytes, 0);
    backed += bytes;
    return {};
  }
  void Unback(std::byte*, uint64_t bytes) override { backed -= bytes; }
  void Copy(std::byte*, const std::byte*, uint64_t) override {}
  Result<std::unique_ptr<platform::Stream>> CreateStream() override {
    return Fail(Code::kUnsupported, "no streams");
  }

  std::atomic<uint64_t> backed{0};
  const std::byte* refuse_at = nullptr;

 private:
  const std::string name_ = "counting";
  SteadyClock clock_;
  std::atomic<uintptr_t> next_base_{uintptr_t{1} << 30};
};

class ArenaTest : public testing::Test {
 protected:
  CountingDevice device_;
  Ledger ledger_{100 * kChunk};
  Arena arena_{device_, ledger_};
};

TEST_F(ArenaTest, ReservingTakesNothing) {
  const Range range = arena_.Reserve(10 * kChunk + 1).value();
  EXPECT_EQ(range.bytes, 11 * kChunk);
  EXPECT_EQ(ledger_.Snapshot().used, 0u);
  arena_.Release(range);
}

TEST_F(ArenaTest, AChunkAtTheBorderOfTwoUsersIsTakenOnceAndLeavesWithTheLast) {
  const Range range = arena_.Reserve(10 * kChunk).value();
  ASSERT_TRUE(arena_.Back(range, 0, kChunk + 100, Owner::kWeights));
  EXPECT_EQ(Held(ledger_, Owner::kWeights), 2 * kChunk);
  EXPECT_EQ(arena_.CostToBack(range, kChunk + 100, 2 * kChunk), 2 * kChunk);
  ASSERT_TRUE(arena_.Back(range, kChunk + 100, 2 * kChunk, Owner::kWeights));
  EXPECT_EQ(Held(ledger_, Owner::kWeights), 4 * kChunk);
  arena_.Unback(range, 0, kChunk + 100);
  EXPECT_EQ(Held(ledger_, Owner::kWeights), 3 * kChunk);
  EXPECT_EQ(device_.backed, 3 * kChunk);
  arena_.Unback(range, kChunk + 100, 2 * kChunk);
  EXPECT_EQ(ledger_.Snapshot().used, 0u);
  EXPECT_EQ(device_.backed, 0u);
  arena_.Release(range);
}

TEST_F(ArenaTest, ASharedChunkIsItsFirstTakersUntilItGoes) {
  const Range range = arena_.Reserve(4 * kChunk).value();
  ASSERT_TRUE(arena_.Back(range, 0, 100, Owner::kWeights));
  ASSERT_TRUE(arena_.Back(range, 100, 100, Owner::kKv));
  arena_.Unback(range, 0, 100);
  EXPECT_EQ(Held(ledger_, Owner::kWeights), kChunk);
  EXPECT_EQ(Held(ledger_, Owner::kKv), 0u);
  arena_.Unback(range, 100, 100);
  EXPECT_EQ(ledger_.Snapshot().used, 0u);
  arena_.Release(range);
}

TEST_F(ArenaTest, BackingBeyondTheLimitChangesNothing) {
  const Range range = arena_.Reserve(200 * kChunk).value();
  ASSERT_TRUE(arena_.Back(range, 0, 60 * kChunk, Owner::kWeights));
  const Status status = arena_.Back(range, 50 * kChunk, 60 * kChunk, Owner::kKv);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kOutOfMemory);
  EXPECT_EQ(status.error().needed_bytes, 50 * kChunk);
  EXPECT_EQ(status.error().available_bytes, 40 * kChunk);
  EXPECT_EQ(ledger_.Snapshot().used, 60 * kChunk);
  EXPECT_EQ(device_.backed, 60 * kChunk);
  arena_.Unback(range, 0, 60 * kChunk);
  EXPECT_EQ(ledger_.Snapshot().used, 0u);
  arena_.Release(range);
}

TEST_F(ArenaTest, ADeviceThatRefusesPartOfABackingChangesNothing) {
  const Range range = arena_.Reserve(20 * kChunk).value();
  ASSERT_TRUE(
      arena_.Back(range, 5 * kChunk, kChunk, Owner::kWeights));  // splits the next one in two runs
  device_.refuse_at = range.base + 7 * kChunk;
  EXPECT_FALSE(arena_.Back(range, 0, 10 * kChunk, Owner::kWeights));
  EXPECT_EQ(device_.backed, kChunk);
  EXPECT_EQ(ledger_.Snapshot().used, kChunk);
  device_.refuse_at = nullptr;
  EXPECT_TRUE(arena_.Back(range, 0, 10 * kChunk, Owner::kWeights));
  EXPECT_EQ(device_.backed, 10 * kChunk);
  arena_.Release(range);
  EXPECT_EQ(ledger_.Snapshot().used, 0u);
}

TEST_F(ArenaTest, ThreadsThatShareChunksKeepLedgerAndDeviceEqual) {
  const Range range = arena_.Reserve(40 * kChunk).value();
  const auto work = [&](unsigned seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < 3000; ++i) {
      const uint64_t offset = random() % (39 * kChunk);
      const uint64_t bytes = 1 + random() % std::min<uint64_t>(5 * kChunk, 40 * kChunk - offset);
      if (!arena_.Back(range, offset, bytes, Owner::kKv)) continue;
      if (random() % 4 == 0) std::this_thread::yield();
      arena_.Unback(range, offset, bytes);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) threads.emplace_back(work, seed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ledger_.Snapshot().used, 0u);
  EXPECT_EQ(device_.backed, 0u);
  EXPECT_LE(ledger_.Snapshot().peak, 40 * kChunk);
  arena_.Release(range);
}

TEST(Arena, MemoryOfTheProcessFallsWithTheLedger) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer's shadow of the memory stays in the process";
#endif
  Host host;
  constexpr uint64_t kMib = uint64_t{1} << 20;
  const Range range = host.arena.Reserve(48 * kMib).value();
  const uint64_t before = AnonymousBytes();
  ASSERT_TRUE(host.arena.Back(range, 0, 32 * kMib, Owner::kWeights));
  std::memset(range.base, 1, 32 * kMib);
  EXPECT_GE(AnonymousBytes(), before + 31 * kMib);
  host.arena.Unback(range, 0, 32 * kMib);
  EXPECT_EQ(host.ledger.Snapshot().used, 0u);
  EXPECT_LT(AnonymousBytes(), before + kMib);
  host.arena.Release(range);
}

TEST(Arena, OneLedgerLimitsTwoDevicesRanges) {
  VirtualClock clock;
  platform::SimDevice device(clock, SmallChunks(false));
  Ledger ledger(10 * kChunk);
  Arena first(device, ledger);
  Arena second(device, ledger);
  const Range a = first.Reserve(8 * kChunk).value();
  const Range b = second.Reserve(8 * kChunk).value();
  ASSERT_TRUE(first.Back(a, 0, 8 * kChunk, Owner::kWeights));
  EXPECT_FALSE(second.Back(b, 0, 3 * kChunk, Owner::kKv));
  EXPECT_TRUE(second.Back(b, 0, 2 * kChunk, Owner::kKv));
  first.Release(a);
  EXPECT_EQ(ledger.Snapshot().used, 2 * kChunk);
  second.Release(b);
  EXPECT_EQ(ledger.Snapshot().used, 0u);
}

}  // namespace
}  // namespace mirage::memory
