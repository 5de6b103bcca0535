// SPDX-License-Identifier: Apache-2.0
#pragma once

// ThreadPool: the threads that compute. The caller is one of them.
//
// Workers spin briefly between pieces of work, since a forward pass is hundreds of short parallel
// loops, and park when nothing comes; with more threads than processors they park at once. Which
// thread runs which task never changes a result.
//
// Any thread calls ParallelFor; calls are served one at a time. A task must not call it on the same
// pool.

#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace mirage::platform {

// No pool has more threads.
inline constexpr int kMostThreads = 1024;

// How loops over a pool are best cut into tasks, which depends on the machine. No result depends
// on it.
struct TaskCut {
  // Enough to even out threads of unequal speed.
  int tasks_per_thread = 4;
  // What a task goes through again and again: about what stays in a core's second-level cache
  // beside what it reads once.
  int64_t panel_bytes = 512 * 1024;
};

class ThreadPool {
 public:
  // `threads` counts the caller: 1 starts no worker.
  explicit ThreadPool(int threads, TaskCut cut = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Threads that take part in loops now.
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] const TaskCut& cut() const { return cut_; }
  // So many of the threads, at most as many as the pool was made with, take part in the loops that
  // follow; the others park. Cheap where nothing changes.
  void Use(int threads);
  // Ends the workers once they have nothing to do; from then on the caller does all of the work.
  void Stop();

  // Calls body(task, thread) once for each task in [0, tasks), on any threads, and returns when all
  // are done. `thread` is below the number that the pool was made with. Tasks are handed out in
  // ascending order as threads become free. `body` should not throw; the first exception of any
  // task is thrown again here, after all other tasks have ended.
  template <typename Body>
  void ParallelFor(int64_t tasks, Body&& body) {
    if (tasks <= 1 || threads_.load(std::memory_order_relaxed) == 1) {
      for (int64_t task = 0; task < tasks; ++task) body(task, 0);
      return;
    }
    using Plain = std::remove_reference_t<Body>;
    Dispatch(
        tasks,
        [](void* context, int64_t task, int thread) {
          (*static_cast<Plain*>(context))(task, thread);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Call = void (*)(void* context, int64_t task, int thread);
  void Dispatch(int64_t tasks, Call call, void* context);

  struct Shared;
  const TaskCut cut_;
  std::atomic<int> threads_;
  std::unique_ptr<Shared> shared_;
};

}  // namespace mirage::platform
