// SPDX-License-Identifier: Apache-2.0
#include "memory/transfer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/guarded.h"
#include "platform/thread.h"

namespace mirage::memory {
namespace {

struct Job {
  std::function<Status()> run;
  uint64_t bytes;
  std::vector<platform::Event> after;
  platform::Event done;
};

class HostTransferEngine final : public TransferEngine {
 public:
  explicit HostTransferEngine(int workers) {
    workers_.reserve(static_cast<size_t>(std::max(workers, 1)));
    try {
      for (int worker = 0; worker < std::max(workers, 1); ++worker)
        workers_.emplace_back("mirage-transfer", [this] { Loop(); });
    } catch (...) {  // the system refuses another thread: end those that started
      HostTransferEngine::Stop();
      throw;
    }
  }

  ~HostTransferEngine() override { HostTransferEngine::Stop(); }

  platform::Event Submit(std::function<Status()> job, uint64_t bytes,
                         std::vector<platform::Event> after) override {
    const platform::Event done = platform::Event::Pending();
    bool stopped = false;
    {
      const std::lock_guard lock(mutex_);
      if (!stopping_) jobs_.push_back({std::move(job), bytes, std::move(after), done});
      stopped = stopping_;
    }
    if (stopped)
      Cancel(done);
    else
      work_came_.notify_one();
    return done;
  }

  Totals totals() const override {
    const std::lock_guard lock(mutex_);
    return totals_;
  }

  void Stop() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_came_.notify_all();
    for (platform::Thread& worker : workers_) worker.join();
    workers_.clear();
    for (const Job& job : jobs_) Cancel(job.done);
    jobs_.clear();
  }

 private:
  void Loop() {
    for (;;) {
      Job job;
      {
        std::unique_lock lock(mutex_);
        work_came_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
        if (stopping_) return;
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      // A failed reader does not keep its bytes from being overwritten.
      for (const platform::Event& event : job.after) event.Await();
      const int64_t began = Begin();
      Status status = Guarded(job.run);
      const int64_t took = End(status ? job.bytes : 0) - began;
      job.run = nullptr;  // what it holds is gone before anybody learns that it is done
      job.done.Signal(std::move(status), took);
    }
  }

  // The times at which a job begins and ends.
  int64_t Begin() {
    const std::lock_guard lock(mutex_);
    const int64_t now = clock_.NowNs();
    if (running_++ == 0) busy_since_ = now;
    return now;
  }
  int64_t End(uint64_t moved) {
    const std::lock_guard lock(mutex_);
    const int64_t now = clock_.NowNs();
    if (--running_ == 0) totals_.busy_ns += now - busy_since_;
    totals_.bytes += moved;
    return now;
  }

  static void Cancel(const platform::Event& done) {
    done.Signal(FailInWords(Code::kCancelled, "the transfers were closed"));
  }

  const SteadyClock clock_;
  mutable std::mutex mutex_;
  std::condition_variable work_came_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  int running_ = 0;  // jobs
  int64_t busy_since_ = 0;
  Totals totals_;
  std::vector<platform::Thread> workers_;
};

}  // namespace

std::unique_ptr<TransferEngine> MakeHostTransferEngine(int workers) {
  return std::make_unique<HostTransferEngine>(workers);
}

}  // namespace mirage::memory
