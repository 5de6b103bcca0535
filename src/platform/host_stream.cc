// SPDX-License-Identifier: Apache-2.0
#include "platform/host_stream.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/guarded.h"
#include "platform/thread.h"

namespace mirage::platform {
namespace {

// What a stream does with events, and its first failure. One thread at a time.
class StreamState {
 public:
  explicit StreamState(const Clock& clock) : clock_(clock) {}

  void WaitFor(const Event& event) {
    const bool was_done = event.done();
    const int64_t began = was_done ? 0 : clock_.NowNs();
    Status status = event.Wait();
    if (!was_done) {
      const int64_t ns = clock_.NowNs() - began;
      event.AddWaited(ns);
      waited_ns_.fetch_add(ns, std::memory_order_relaxed);
    }
    if (!status) FailWith(std::move(status).error());
  }

  // Never fails to signal: somebody waits.
  void SignalTo(const Event& event) const {
    event.Signal(failure_ ? Status(Fail(CopyOf(*failure_))) : Status());
  }

  void FailWith(Error error) {
    if (!failure_) failure_ = std::move(error);
  }
  [[nodiscard]] bool failed() const { return failure_.has_value(); }
  [[nodiscard]] Status status() const {
    if (failure_) return Fail(*failure_);
    return {};
  }
  [[nodiscard]] Status TakeStatus() {
    Status taken = status();
    failure_.reset();
    return taken;
  }
  [[nodiscard]] int64_t waited_ns() const { return waited_ns_.load(std::memory_order_relaxed); }

 private:
  const Clock& clock_;
  std::optional<Error> failure_;
  std::atomic<int64_t> waited_ns_{0};
};

class InlineStream final : public HostStream {
 public:
  InlineStream(ThreadPool& pool, const Clock& clock) : HostStream(pool), state_(clock) {}

  void Record(const Event& event) override { state_.SignalTo(event); }
  void Wait(const Event& event) override { state_.WaitFor(event); }
  Status Synchronize() override { return state_.TakeStatus(); }
  int64_t waited_ns() const override { return state_.waited_ns(); }

 protected:
  void Enqueue(std::function<void()> work) override {
    if (!failed()) work();
  }
  bool failed() const override { return state_.failed(); }

 private:
  StreamState state_;
};

class QueuedStream final : public HostStream {
 public:
  QueuedStream(ThreadPool& pool, const Clock& clock) : HostStream(pool), state_(clock) {
    inline_ = false;
    thread_ = Thread("mirage-stream", [this] { Loop(); });
  }
  ~QueuedStream() override {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  void Record(const Event& event) override {
    Put([this, event] { state_.SignalTo(event); });
  }
  void Wait(const Event& event) override {
    Put([this, event] { state_.WaitFor(event); });
  }
  Status Synchronize() override {
    const Event reached = Event::Pending();
    Put([this, reached] { reached.Signal(state_.TakeStatus()); });
    return reached.Wait();
  }
  int64_t waited_ns() const override { return state_.waited_ns(); }

 protected:
  void Enqueue(std::function<void()> work) override {
    Put([this, work = std::move(work)] {
      if (!state_.failed()) work();
    });
  }
  // Only the stream's thread may look at its failure, and only it runs work.
  bool failed() const override { return false; }

 private:
  void Put(std::function<void()> item) {
    {
      const std::lock_guard lock(mutex_);
      items_.push_back(std::move(item));
    }
    changed_.notify_one();
  }

  void Loop() {
    for (;;) {
      std::function<void()> item;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return closing_ || !items_.empty(); });
        if (items_.empty()) return;
        item = std::move(items_.front());
        items_.pop_front();
      }
      Status ran = Guarded([&]() -> Status {
        item();
        return {};
      });
      if (!ran) state_.FailWith(std::move(ran).error());
    }
  }

  StreamState state_;  // of the stream's thread
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> items_;
  bool closing_ = false;
  Thread thread_;
};

}  // namespace

std::unique_ptr<HostStream> MakeInlineStream(ThreadPool& pool, const Clock& clock) {
  return std::make_unique<InlineStream>(pool, clock);
}

std::unique_ptr<HostStream> MakeQueuedStream(ThreadPool& pool, const Clock& clock) {
  return std::make_unique<QueuedStream>(pool, clock);
}

}  // namespace mirage::platform
