// SPDX-License-Identifier: Apache-2.0
#include "platform/stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "platform/host_stream.h"
#include "platform/thread_pool.h"

namespace mirage::platform {
namespace {

using std::chrono::milliseconds;

TEST(Event, DefaultMadeIsDoneAndPendingIsNot) {
  EXPECT_TRUE(Event().done());
  EXPECT_TRUE(Event().Wait());
  EXPECT_FALSE(Event::Pending().done());
}

TEST(Event, AFailureReachesEveryCopy) {
  const Event event = Event::Pending();
  const Event copy = event;
  event.Signal(Fail(Code::kIo, "the disk refuses"), 42);
  event.Signal();  // too late to change anything
  ASSERT_TRUE(copy.done());
  ASSERT_FALSE(copy.Wait());
  EXPECT_EQ(copy.Wait().error().code, Code::kIo);
  EXPECT_EQ(copy.took_ns(), 42);
}

TEST(Event, WaitBlocksUntilAnotherThreadSignals) {
  for (int round = 0; round < 200; ++round) {
    const Event event = Event::Pending();
    int value = 0;
    std::thread other([&] {
      value = round;
      event.Signal();
    });
    ASSERT_TRUE(event.Wait());
    ASSERT_EQ(value, round);
    other.join();
  }
}

TEST(Event, OfVirtualTimeIsDoneWhenItsTimeHasCome) {
  VirtualClock clock;
  const Event event = Event::Pending();
  event.SignalAt(clock, 100, {}, 60);
  EXPECT_FALSE(event.done());
  EXPECT_EQ(event.due_ns(), 100);
  EXPECT_TRUE(event.outcome());
  EXPECT_EQ(clock.NowNs(), 0);
  EXPECT_TRUE(event.Wait());
  EXPECT_EQ(clock.NowNs(), 100);
  EXPECT_TRUE(event.done());
  EXPECT_EQ(event.took_ns(), 60);
}

class HostStreamTest : public testing::TestWithParam<bool> {
 protected:
  std::unique_ptr<HostStream> Make() {
    return GetParam() ? MakeQueuedStream(pool_, clock_) : MakeInlineStream(pool_, clock_);
  }
  ThreadPool pool_{2};
  SteadyClock clock_;
};

TEST_P(HostStreamTest, WorkRunsInTheOrderItWasPut) {
  auto stream = Make();
  std::vector<int> seen;
  for (int i = 0; i < 100; ++i) stream->Run([&seen, i] { seen.push_back(i); });
  ASSERT_TRUE(stream->Synchronize());
  ASSERT_EQ(seen.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], i);
}

TEST_P(HostStreamTest, ARecordedEventIsDoneAfterTheWorkBefore) {
  auto stream = Make();
  std::atomic<bool> ran{false};
  const Event event = Event::Pending();
  stream->Run([&] {
    std::this_thread::sleep_for(milliseconds(5));
    ran = true;
  });
  stream->Record(event);
  ASSERT_TRUE(event.Wait());
  EXPECT_TRUE(ran);
}

TEST_P(HostStreamTest, WorkAfterAWaitSeesWhatTheSignallerWrote) {
  auto stream = Make();
  const Event event = Event::Pending();
  int value = 0;
  std::thread signaller([&] {
    std::this_thread::sleep_for(milliseconds(20));
    value = 7;
    event.Signal();
  });
  int seen = 0;
  stream->Wait(event);
  stream->Run([&] { seen = value; });
  ASSERT_TRUE(stream->Synchronize());
  signaller.join();
  EXPECT_EQ(seen, 7);
  EXPECT_GT(stream->waited_ns(), 1000000);
  EXPECT_EQ(event.waited_ns(), stream->waited_ns());
}

TEST_P(HostStreamTest, AfterAFailedEventWorkIsSkippedUntilSynchronizeReportsIt) {
  auto stream = Make();
  const Event failed = Event::Pending();
  failed.Signal(Fail(Code::kIo, "first"));
  const Event failed_later = Event::Pending();
  failed_later.Signal(Fail(Code::kCorrupt, "second"));
  std::atomic<int> ran{0};
  const Event after = Event::Pending();
  stream->Wait(failed);
  stream->Run([&] { ran.fetch_add(1); });
  stream->Wait(failed_later);
  stream->Record(after);
  const Status status = stream->Synchronize();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "first");
  EXPECT_EQ(ran, 0);
  EXPECT_FALSE(after.Wait());
  stream->Run([&] { ran.fetch_add(1); });
  EXPECT_TRUE(stream->Synchronize());
  EXPECT_EQ(ran, 1);
}

INSTANTIATE_TEST_SUITE_P(InlineAndQueued, HostStreamTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Queued" : "Inline"; });

TEST(QueuedStream, ReturnsBeforeTheWorkHasRun) {
  ThreadPool pool(1);
  const SteadyClock clock;
  auto stream = MakeQueuedStream(pool, clock);
  const Event release = Event::Pending();
  std::atomic<bool> ran{false};
  stream->Wait(release);
  stream->Run([&] { ran = true; });
  const Event after = Event::Pending();
  stream->Record(after);
  EXPECT_FALSE(ran);
  EXPECT_FALSE(after.done());
  release.Signal();
  EXPECT_TRUE(after.Wait());
  EXPECT_TRUE(ran);
}

TEST(QueuedStream, AnExceptionFailsTheStream) {
  ThreadPool pool(1);
  const SteadyClock clock;
  auto stream = MakeQueuedStream(pool, clock);
  stream->Run([] { throw std::runtime_error("numbers"); });
  const Status status = stream->Synchronize();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kInternal);
  EXPECT_NE(status.error().message.find("numbers"), std::string::npos);
}

TEST(QueuedStream, DestructionFinishesWhatWasPut) {
  ThreadPool pool(1);
  const SteadyClock clock;
  std::atomic<int> ran{0};
  {
    auto stream = MakeQueuedStream(pool, clock);
    for (int i = 0; i < 50; ++i) stream->Run([&] { ran.fetch_add(1); });
  }
  EXPECT_EQ(ran, 50);
}

}  // namespace
}  // namespace mirage::platform
