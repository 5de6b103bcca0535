// SPDX-License-Identifier: Apache-2.0
#include "platform/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "platform/cpu.h"
#include "platform/spin.h"
#include "platform/thread.h"

namespace mirage::platform {
namespace {

// Longer than the gap between two ops of a forward pass, shorter than anybody notices.
constexpr std::chrono::microseconds kSpin{50};

}  // namespace

// One job runs at a time. `unclaimed` counts its tasks down; whoever takes it from n > 0 to n - 1
// has claimed task `tasks - n` and pins the job: the dispatcher returns only when `unfinished` is
// 0, so the job's plain fields cannot change before the claimed task is counted as finished. A
// worker that wakes late finds nothing to claim and is not waited for. Decrements of a count that
// is not positive claim nothing and are overwritten by the next job.
struct ThreadPool::Shared {
  Call call = nullptr;
  void* context = nullptr;
  int64_t tasks = 0;
  alignas(64) std::atomic<int64_t> unclaimed{0};
  alignas(64) std::atomic<int64_t> unfinished{0};

  std::mutex dispatch;  // one job at a time
  std::mutex mutex;     // parking, failure
  std::condition_variable work_came;
  std::condition_variable work_ended;
  std::condition_variable team_changed;
  std::atomic<int> parked{0};
  std::atomic<bool> dispatcher_parked{false};
  std::atomic<bool> stop{false};
  std::atomic<int> team{1};  // workers below it, and the caller, take part
  std::exception_ptr failure;

  std::chrono::nanoseconds spin{kSpin};
  std::vector<Thread> workers;

  // Something else to do than to wait for it.
  bool HasWork(int thread) const {
    return unclaimed.load() > 0 || stop.load() || thread >= team.load();
  }

  // Runs tasks until none is left to claim.
  void RunTasks(int thread) {
    int64_t ran = 0;
    while (unclaimed.load(std::memory_order_relaxed) > 0) {
      const int64_t left = unclaimed.fetch_sub(1, std::memory_order_acq_rel);
      if (left <= 0) break;
      try {
        call(context, tasks - left, thread);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
      ++ran;
    }
    if (ran > 0 && unfinished.fetch_sub(ran) == ran && dispatcher_parked.load()) {
      const std::lock_guard lock(mutex);
      work_ended.notify_one();
    }
  }

  void WorkerLoop(int thread) {
    const auto has_work = [this, thread] { return HasWork(thread); };
    while (!stop.load()) {
      if (!SpinUntil(spin, has_work)) {
        std::unique_lock lock(mutex);
        parked.fetch_add(1);
        work_came.wait(lock, has_work);
        parked.fetch_sub(1);
      }
      if (thread < team.load())
        RunTasks(thread);
      else
        AwaitTeam(thread);
    }
  }

  // Apart from those that are parked, so that waking some of these wakes none that may not work.
  void AwaitTeam(int thread) {
    std::unique_lock lock(mutex);
    team_changed.wait(lock, [this, thread] { return thread < team.load() || stop.load(); });
  }

  void Use(int threads) {
    {
      const std::lock_guard lock(mutex);
      team.store(threads);
    }
    team_changed.notify_all();
    work_came.notify_all();
  }

  // Sequentially consistent on both sides: either the worker sees the work before it parks, or it
  // is seen parked.
  void WakeWorkers(int64_t wanted) {
    const int64_t sleeping = parked.load();
    if (sleeping == 0) return;
    const std::lock_guard lock(mutex);
    if (wanted >= sleeping) {
      work_came.notify_all();
    } else {
      for (int64_t i = 0; i < wanted; ++i) work_came.notify_one();
    }
  }

  void WaitForWorkers() {
    const auto ended = [this] { return unfinished.load() == 0; };
    if (SpinUntil(spin, ended)) return;
    std::unique_lock lock(mutex);
    dispatcher_parked.store(true);
    work_ended.wait(lock, ended);
    dispatcher_parked.store(false);
  }

  void Stop() {
    {
      const std::lock_guard lock(mutex);
      stop.store(true);
    }
    team_changed.notify_all();
    work_came.notify_all();
    for (Thread& worker : workers) worker.join();
    workers.clear();
  }
};

ThreadPool::ThreadPool(int threads, TaskCut cut)
    : cut_(cut), threads_(std::max(threads, 1)), shared_(std::make_unique<Shared>()) {
  if (threads_ == 1) return;
  shared_->team.store(threads_);
  // A spinning thread without a processor of its own only delays the ones that work.
  if (threads_ > UsableCpus()) shared_->spin = std::chrono::nanoseconds::zero();
  shared_->workers.reserve(static_cast<size_t>(threads_ - 1));
  try {
    for (int thread = 1; thread < threads_; ++thread)
      shared_->workers.emplace_back(
          "mirage-compute", [shared = shared_.get(), thread] { shared->WorkerLoop(thread); });
  } catch (...) {  // the system refuses another thread: end those that started
    shared_->Stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { shared_->Stop(); }

void ThreadPool::Stop() {
  const std::lock_guard one_job(shared_->dispatch);
  shared_->Stop();
  threads_.store(1, std::memory_order_relaxed);
}

void ThreadPool::Use(int threads) {
  if (threads == threads_.load(std::memory_order_relaxed)) return;
  const std::lock_guard one_job(shared_->dispatch);
  const int most = static_cast<int>(shared_->workers.size()) + 1;
  threads_.store(std::clamp(threads, 1, most), std::memory_order_relaxed);
  shared_->Use(threads_);
}

void ThreadPool::Dispatch(int64_t tasks, Call call, void* context) {
  Shared& shared = *shared_;
  const std::lock_guard one_job(shared.dispatch);
  shared.call = call;
  shared.context = context;
  shared.tasks = tasks;
  shared.unfinished.store(tasks);
  shared.unclaimed.store(tasks);
  shared.WakeWorkers(tasks - 1);
  shared.RunTasks(0);
  shared.WaitForWorkers();
  if (shared.failure) std::rethrow_exception(std::exchange(shared.failure, nullptr));
}

}  // namespace mirage::platform
