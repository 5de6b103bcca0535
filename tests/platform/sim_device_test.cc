// SPDX-License-Identifier: Apache-2.0
#include "platform/sim_device.h"

#include <gtest/gtest.h>

#include <memory>

namespace mirage::platform {
namespace {

TEST(SimCosts, WorkIsBoundByTheSlowerOfArithmeticAndMemory) {
  SimCosts costs;
  costs.ops_per_second = 1e9;
  costs.memory_bytes_per_second = 2e9;
  costs.launch_ns = 5;
  EXPECT_EQ(costs.WorkNs(1000, 100), 1005);
  EXPECT_EQ(costs.WorkNs(10, 4000), 2005);
}

TEST(SimStream, VirtualTimePassesWhenTheHostWaits) {
  VirtualClock clock;
  SimStream stream(clock, {});
  int ran = 0;
  stream.Run(100, [&] { ++ran; });
  stream.Run(50, [&] { ++ran; });
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(clock.NowNs(), 0);
  ASSERT_TRUE(stream.Synchronize());
  EXPECT_EQ(clock.NowNs(), 150);
}

TEST(SimStream, StreamsRunSideBySideAndWaitForEachOther) {
  VirtualClock clock;
  SimStream first(clock, {});
  SimStream second(clock, {});
  const Event event = Event::Pending();
  first.Run(100, nullptr);
  first.Record(event);
  second.Run(30, nullptr);
  second.Wait(event);
  second.Run(10, nullptr);
  EXPECT_FALSE(event.done());
  ASSERT_TRUE(second.Synchronize());
  EXPECT_EQ(clock.NowNs(), 110);
  EXPECT_EQ(second.waited_ns(), 70);
  EXPECT_EQ(event.waited_ns(), 70);
  EXPECT_TRUE(event.done());
}

TEST(SimStream, AFailedEventSkipsLaterWorkUntilSynchronize) {
  VirtualClock clock;
  SimStream stream(clock, {});
  const Event failed = Event::Pending();
  failed.SignalAt(clock, 40, Fail(Code::kIo, "gone"));
  int ran = 0;
  stream.Wait(failed);
  stream.Run(1000, [&] { ++ran; });
  EXPECT_FALSE(stream.Synchronize());
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(clock.NowNs(), 40);
  EXPECT_TRUE(stream.Synchronize());
}

TEST(SimLink, MovesOneThingAtATime) {
  VirtualClock clock;
  SimLink link(clock, 1e9, 10);
  const SimLink::Span first = link.Move(100, 0);
  EXPECT_EQ(first.begin_ns, 0);
  EXPECT_EQ(first.end_ns, 110);
  const SimLink::Span second = link.Move(100, 50);
  EXPECT_EQ(second.begin_ns, 110);
  const SimLink::Span third = link.Move(100, 1000);
  EXPECT_EQ(third.begin_ns, 1000);
  EXPECT_EQ(link.busy_ns(), 330);
}

TEST(SimDevice, WithoutContentsBacksMoreThanThereIs) {
  VirtualClock clock;
  SimOptions options;
  options.contents = false;
  SimDevice device(clock, options);
#if defined(__SANITIZE_THREAD__)
  constexpr uint64_t kBytes = uint64_t{1} << 36;  // ThreadSanitizer leaves few addresses
#else
  constexpr uint64_t kBytes = uint64_t{1} << 40;
#endif
  Result<std::byte*> base = device.ReserveAddresses(kBytes);
  ASSERT_TRUE(base) << base.error().message;
  EXPECT_TRUE(device.Back(*base, kBytes));
  device.Unback(*base, kBytes);
  device.ReleaseAddresses(*base, kBytes);
}

TEST(SimDevice, WithContentsHoldsWhatIsWritten) {
  VirtualClock clock;
  SimOptions options;
  options.chunk_bytes = 4096;
  SimDevice device(clock, options);
  Result<std::byte*> base = device.ReserveAddresses(8192);
  ASSERT_TRUE(base);
  ASSERT_TRUE(device.Back(*base + 4096, 4096));
  (*base)[4096] = std::byte{9};
  EXPECT_EQ((*base)[4096], std::byte{9});
  device.ReleaseAddresses(*base, 8192);
}

}  // namespace
}  // namespace mirage::platform
