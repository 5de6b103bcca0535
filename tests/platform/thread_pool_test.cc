// SPDX-License-Identifier: Apache-2.0
#include "platform/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

namespace mirage::platform {
namespace {

TEST(ThreadPool, EveryTaskRunsExactlyOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const int64_t tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> ran(static_cast<size_t>(tasks));
      pool.ParallelFor(tasks, [&](int64_t task, int thread) {
        EXPECT_GE(thread, 0);
        EXPECT_LT(thread, threads);
        ran[static_cast<size_t>(task)].fetch_add(1);
      });
      for (const std::atomic<int>& count : ran) EXPECT_EQ(count, 1);
    }
  }
}

TEST(ThreadPool, WritesOfTasksAreSeenByTheCallerAndByTheNextLoop) {
  ThreadPool pool(4);
  std::vector<int64_t> values(64);
  for (int64_t round = 1; round <= 20000; ++round) {
    pool.ParallelFor(64, [&](int64_t task, int) { values[static_cast<size_t>(task)] += task; });
    if (round % 1000 == 0) {
      ASSERT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}), round * 63 * 64 / 2);
    }
  }
}

TEST(ThreadPool, ReturnsOnlyAfterTheLastTaskHasEnded) {
  ThreadPool pool(2);
  std::atomic<int> begun{0};
  std::atomic<bool> ended{false};
  pool.ParallelFor(2, [&](int64_t, int thread) {
    begun.fetch_add(1);
    while (begun < 2) std::this_thread::yield();  // one task on each thread
    if (thread == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ended = true;
  });
  EXPECT_TRUE(ended);
}

TEST(ThreadPool, AThreadIsInOneTaskAtATime) {
  ThreadPool pool(3);
  std::atomic<int> inside[3] = {};
  pool.ParallelFor(500, [&](int64_t, int thread) {
    EXPECT_EQ(inside[thread].fetch_add(1), 0);
    std::this_thread::yield();
    inside[thread].fetch_sub(1);
  });
}

TEST(ThreadPool, LoopsOfSeveralCallersDoNotMix) {
  ThreadPool pool(3);
  const auto call = [&] {
    for (int round = 0; round < 500; ++round) {
      std::atomic<int64_t> sum{0};
      pool.ParallelFor(10, [&](int64_t task, int) { sum.fetch_add(task); });
      ASSERT_EQ(sum, 45);
    }
  };
  std::thread other(call);
  call();
  other.join();
}

TEST(ThreadPool, AnExceptionReachesTheCallerAndThePoolGoesOn) {
  ThreadPool pool(3);
  std::atomic<int> ran{0};
  const auto body = [&](int64_t task, int) {
    ran.fetch_add(1);
    if (task == 5) throw std::runtime_error("task 5");
  };
  EXPECT_THROW(pool.ParallelFor(100, body), std::runtime_error);
  EXPECT_EQ(ran, 100);
  ran = 0;
  pool.ParallelFor(5, body);
  EXPECT_EQ(ran, 5);
}

TEST(ThreadPool, OnlyTheThreadsInUseTakePart) {
  ThreadPool pool(4);
  const auto threads_of_a_loop = [&] {
    std::atomic<unsigned> seen{0};
    pool.ParallelFor(64, [&](int64_t, int thread) {
      seen.fetch_or(1u << thread);
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    });
    return seen.load();
  };
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // all are parked
  pool.Use(2);
  EXPECT_EQ(pool.threads(), 2);
  for (int round = 0; round < 3; ++round) EXPECT_EQ(threads_of_a_loop(), 0b0011u);
  pool.Use(4);
  EXPECT_EQ(threads_of_a_loop(), 0b1111u);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  pool.Use(1);
  EXPECT_EQ(threads_of_a_loop(), 0b0001u);
}

TEST(ThreadPool, UsesNoMoreThreadsThanThereAre) {
  ThreadPool pool(2);
  pool.Use(0);
  EXPECT_EQ(pool.threads(), 1);
  pool.Use(9);
  EXPECT_EQ(pool.threads(), 2);
  pool.Stop();
  pool.Use(2);
  EXPECT_EQ(pool.threads(), 1);
}

TEST(ThreadPool, ChangingTheThreadsInUseLosesNoTask) {
  ThreadPool pool(5);
  for (int round = 0; round < 2000; ++round) {
    pool.Use(1 + round * 7 % 5);
    std::atomic<int64_t> sum{0};
    pool.ParallelFor(20, [&](int64_t task, int) { sum.fetch_add(task); });
    ASSERT_EQ(sum, 190);
  }
}

TEST(ThreadPool, IdleThreadsUseNoProcessorTime) {
  ThreadPool pool(4);
  pool.ParallelFor(8, [](int64_t, int) {});
  pool.Use(2);  // those left out do not wait by spinning either
  pool.ParallelFor(8, [](int64_t, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto used = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
  };
  const int64_t before = used();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(used() - before, 20000);  // a spinning thread would use 200000 microseconds
}

}  // namespace
}  // namespace mirage::platform
