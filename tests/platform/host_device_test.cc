// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "platform/device.h"
#include "platform/text_file.h"
#include "platform/thread_pool.h"

namespace mirage::platform {
namespace {

constexpr uint64_t kMib = uint64_t{1} << 20;

uint64_t AnonymousBytes() {
  return FindNumber(ReadText("/proc/self/status").value(), "RssAnon").value() * 1024;
}

class HostDeviceTest : public testing::Test {
 protected:
  // Where a sanitizer's shadow of the memory stays in the process its size says nothing.
  static constexpr bool kSizesAreOurs =
#ifdef __SANITIZE_THREAD__
      false;
#else
      true;
#endif
  ThreadPool pool_{1};
  SteadyClock clock_;
  std::unique_ptr<Device> device_ = MakeHostDevice(pool_, clock_, HostStreams::kInline);
};

TEST(HostDevice, PassesUseTheThreadsMeantForThem) {
  ThreadPool pool(4);
  const SteadyClock clock;
  const auto tuned = MakeHostDevice(pool, clock, HostStreams::kInline, {.decode = 2, .prefill = 3});
  tuned->BeginPass(kDecodeTokens);
  EXPECT_EQ(pool.threads(), 2);
  tuned->BeginPass(kDecodeTokens + 1);
  EXPECT_EQ(pool.threads(), 3);
  pool.Use(4);
  const auto untuned = MakeHostDevice(pool, clock, HostStreams::kInline);
  untuned->BeginPass(1);
  EXPECT_EQ(pool.threads(), 4);
}

TEST_F(HostDeviceTest, ReservingHoldsNoMemory) {
  const uint64_t before = AnonymousBytes();
  constexpr uint64_t kBytes = uint64_t{64} << 30;
  Result<std::byte*> base = device_->ReserveAddresses(kBytes);
  ASSERT_TRUE(base) << base.error().message;
  EXPECT_LT(AnonymousBytes(), before + kMib);
  device_->ReleaseAddresses(*base, kBytes);
}

TEST_F(HostDeviceTest, BackedMemoryIsPresentAndLeavesTheProcessWhenUnbacked) {
  if (!kSizesAreOurs) GTEST_SKIP() << "the thread sanitizer's shadow counts as ours";
  constexpr uint64_t kBytes = 64 * kMib;
  std::byte* const base = device_->ReserveAddresses(kBytes).value();
  const uint64_t before = AnonymousBytes();
  ASSERT_TRUE(device_->Back(base, kBytes));
  EXPECT_GE(AnonymousBytes(), before + kBytes - kMib);
  std::memset(base, 1, kBytes);
  device_->Unback(base, kBytes);
  EXPECT_LT(AnonymousBytes(), before + kMib);
  device_->ReleaseAddresses(base, kBytes);
}

// The middle of what was backed at once leaves as well: no huge page keeps it.
TEST_F(HostDeviceTest, SingleChunksComeAndGo) {
  if (!kSizesAreOurs) GTEST_SKIP() << "the thread sanitizer's shadow counts as ours";
  const uint64_t chunk = device_->chunk_bytes();
  const uint64_t chunks = 32 * kMib / chunk;
  std::byte* const base = device_->ReserveAddresses(chunks * chunk).value();
  const uint64_t before = AnonymousBytes();
  for (uint64_t i = 0; i < chunks; ++i) {
    ASSERT_TRUE(device_->Back(base + i * chunk, chunk));
    base[i * chunk] = std::byte{1};
  }
  EXPECT_GE(AnonymousBytes(), before + 31 * kMib);
  for (uint64_t i = 0; i < chunks; i += 2) device_->Unback(base + i * chunk, chunk);
  EXPECT_LT(AnonymousBytes(), before + 17 * kMib);
  for (uint64_t i = 1; i < chunks; i += 2) EXPECT_EQ(base[i * chunk], std::byte{1});
  device_->ReleaseAddresses(base, chunks * chunk);
  EXPECT_LT(AnonymousBytes(), before + kMib);
}

TEST_F(HostDeviceTest, FreshMemoryIsZeroAgain) {
  const uint64_t chunk = device_->chunk_bytes();
  std::byte* const base = device_->ReserveAddresses(chunk).value();
  ASSERT_TRUE(device_->Back(base, chunk));
  base[5] = std::byte{7};
  device_->Unback(base, chunk);
  ASSERT_TRUE(device_->Back(base, chunk));
  EXPECT_EQ(base[5], std::byte{0});
  device_->ReleaseAddresses(base, chunk);
}

TEST_F(HostDeviceTest, MoreAddressesThanThereAreIsAnError) {
  const Result<std::byte*> base = device_->ReserveAddresses(uint64_t{1} << 60);
  ASSERT_FALSE(base);
  EXPECT_EQ(base.error().code, Code::kOutOfMemory);
}

using HostDeviceDeathTest = HostDeviceTest;

TEST_F(HostDeviceDeathTest, TouchingUnbackedMemoryFaults) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const uint64_t chunk = device_->chunk_bytes();
  std::byte* const base = device_->ReserveAddresses(chunk).value();
  ASSERT_TRUE(device_->Back(base, chunk));
  device_->Unback(base, chunk);
  EXPECT_DEATH(*reinterpret_cast<volatile char*>(base) = 1, "");
  device_->ReleaseAddresses(base, chunk);
}

}  // namespace
}  // namespace mirage::platform
