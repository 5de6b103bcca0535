// SPDX-License-Identifier: Apache-2.0
#include "memory/transfer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#include "memory/sim_transfer.h"

namespace mirage::memory {
namespace {

using platform::Event;

TEST(HostTransferEngine, OneWorkerRunsJobsInTheirOrder) {
  auto engine = MakeHostTransferEngine(1);
  std::vector<int> order;
  Event last;
  for (int i = 0; i < 100; ++i) {
    last = engine->Submit(
        [&order, i]() -> Status {
          order.push_back(i);
          return {};
        },
        1);
  }
  ASSERT_TRUE(last.Wait());
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(HostTransferEngine, AJobWaitsForItsEventsWhateverTheirStatus) {
  auto engine = MakeHostTransferEngine(2);
  const Event fails = Event::Pending();
  const Event succeeds = Event::Pending();
  std::atomic<bool> ran{false};
  const Event done = engine->Submit(
      [&]() -> Status {
        ran = true;
        return {};
      },
      1, {fails, succeeds});
  fails.Signal(Fail(Code::kIo, "a reader failed"));
  EXPECT_FALSE(done.done());
  EXPECT_FALSE(ran);
  succeeds.Signal();
  EXPECT_TRUE(done.Wait());
  EXPECT_TRUE(ran);
}

TEST(HostTransferEngine, FailuresAndExceptionsBecomeTheEventsStatus) {
  auto engine = MakeHostTransferEngine(1);
  EXPECT_EQ(engine->Submit([] { return Status(Fail(Code::kIo, "gone")); }, 1).Wait().error().code,
            Code::kIo);
  EXPECT_EQ(engine->Submit([]() -> Status { throw std::bad_alloc(); }, 1).Wait().error().code,
            Code::kOutOfMemory);
  EXPECT_EQ(
      engine->Submit([]() -> Status { throw std::runtime_error("x"); }, 1).Wait().error().code,
      Code::kInternal);
  EXPECT_TRUE(engine->Submit([] { return Status(); }, 1).Wait());
}

TEST(HostTransferEngine, ClosingEndsWhatHasNotBegun) {
  const Event blocked = Event::Pending();
  Event first;
  Event second;
  std::atomic<bool> ran_second{false};
  {
    auto engine = MakeHostTransferEngine(1);
    const Event began = Event::Pending();
    first = engine->Submit(
        [&]() -> Status {
          began.Signal();
          return blocked.Wait();
        },
        1);
    second = engine->Submit(
        [&]() -> Status {
          ran_second = true;
          return {};
        },
        1);
    ASSERT_TRUE(began.Wait());
    // The engine can only close once its first job ends; the second must then not start.
    std::thread closer([&] { engine.reset(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    blocked.Signal();
    closer.join();
  }
  EXPECT_TRUE(first.Wait());
  EXPECT_EQ(second.Wait().error().code, Code::kCancelled);
  EXPECT_FALSE(ran_second);
}

TEST(HostTransferEngine, TimesOfJobsThatRunAtOnceAreNotAddedUp) {
  const auto engine = MakeHostTransferEngine(2);
  std::atomic<int> there{0};
  const auto job = [&]() -> Status {
    ++there;
    while (there < 2) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return {};
  };
  const Event first = engine->Submit(job, 100);
  const Event second = engine->Submit(job, 100);
  ASSERT_TRUE(first.Wait());
  ASSERT_TRUE(second.Wait());
  const TransferEngine::Totals totals = engine->totals();
  EXPECT_EQ(totals.bytes, 200u);
  EXPECT_GE(totals.busy_ns, std::max(first.took_ns(), second.took_ns()));
  EXPECT_LT(totals.busy_ns, first.took_ns() + second.took_ns());
}

TEST(HostTransferEngine, WhatFailedMovedNothing) {
  const auto engine = MakeHostTransferEngine(1);
  EXPECT_FALSE(engine->Submit([]() -> Status { return Fail(Code::kIo, "no"); }, 100).Wait());
  EXPECT_EQ(engine->totals().bytes, 0u);
}

TEST(SimTransferEngine, TransfersTakeTheLinksTimeOneAfterTheOther) {
  VirtualClock clock;
  platform::SimLink link(clock, 1e9, 0);
  SimTransferEngine engine(link);
  int ran = 0;
  const auto job = [&]() -> Status {
    ++ran;
    return {};
  };
  const Event first = engine.Submit(job, 100);
  const Event late = Event::Pending();
  late.SignalAt(clock, 500, {});
  const Event second = engine.Submit(job, 100, {late});
  EXPECT_EQ(ran, 2);
  EXPECT_FALSE(first.done());
  EXPECT_EQ(first.due_ns(), 100);
  EXPECT_EQ(second.due_ns(), 600);
  ASSERT_TRUE(second.Wait());
  EXPECT_EQ(clock.NowNs(), 600);
  EXPECT_EQ(second.took_ns(), 100);
  EXPECT_EQ(engine.totals().bytes, 200u);
  EXPECT_EQ(engine.totals().busy_ns, 200);
}

}  // namespace
}  // namespace mirage::memory
