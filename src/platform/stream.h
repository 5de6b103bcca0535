// SPDX-License-Identifier: Apache-2.0
#pragma once

// Stream and Event: the order in which a device does things.
//
// Work put on a stream runs in the order it was put there. An Event is a marker: recorded on a
// stream (or signalled by a transfer worker), and waited for by another stream or by the host. The
// inline host stream runs work at once on the calling thread and its pool; a queued host stream
// runs it on a thread of its own, as a GPU would, which is how the tests prove that nothing relies
// on work being finished when the call returns.
//
// One thread at a time puts work on a stream. Events: any thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/result.h"

namespace mirage::platform {

class ThreadPool;

// A marker that is pending or done. Copies share the marker; a default-made Event is done.
// Signalled once: later signals change nothing.
class Event {
 public:
  Event() = default;
  [[nodiscard]] static Event Pending();

  [[nodiscard]] bool done() const;
  // Marks it done. A failure travels with the event to whoever waits for it; `took_ns` is how long
  // the work it marks ran, where the signaller knows.
  void Signal(Status status = {}, int64_t took_ns = 0) const;
  // Marks it done from `at_ns` of a simulation's clock on. Waiting for it advances the clock.
  void SignalAt(VirtualClock& clock, int64_t at_ns, Status status = {}, int64_t took_ns = 0) const;
  // Blocks the calling thread until done; gives what Signal was given.
  [[nodiscard]] Status Wait() const;
  // The same for whoever does not care how it went. Allocates nothing.
  void Await() const;
  // Done, and what it marks went wrong.
  [[nodiscard]] bool failed() const;

  // What Signal was given and from when on it counts (0 for an event of real time), after blocking
  // until somebody signalled; unlike Wait neither advances a clock.
  [[nodiscard]] Status outcome() const;
  [[nodiscard]] int64_t due_ns() const;
  [[nodiscard]] int64_t took_ns() const;  // 0 until done
  // Time that streams spent waiting for it so far. Streams add to it.
  [[nodiscard]] int64_t waited_ns() const;
  void AddWaited(int64_t ns) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

class Stream {
 public:
  virtual ~Stream() = default;

  // The event is done when everything put on the stream before has run; it carries the stream's
  // failure, if any.
  virtual void Record(const Event& event) = 0;
  // Work put on the stream later runs after `event` is done. A failed event makes the stream fail:
  // later work is skipped, later waits still wait, until Synchronize has reported the failure.
  virtual void Wait(const Event& event) = 0;
  // Blocks until the stream is empty; the first failure of anything on it since the last call.
  [[nodiscard]] virtual Status Synchronize() = 0;
  // Time in which the stream had work but waited for an event, since the stream was made.
  [[nodiscard]] virtual int64_t waited_ns() const = 0;
};

// A stream of the host's own processors.
class HostStream : public Stream {
 public:
  explicit HostStream(ThreadPool& pool) : pool_(pool) {}

  // `work` takes no arguments and may use pool(); its captures are copied and must be plain data.
  template <typename Work>
  void Run(Work&& work) {
    if (inline_) {
      if (!failed()) work();
    } else {
      Enqueue(std::forward<Work>(work));
    }
  }

  [[nodiscard]] ThreadPool& pool() const { return pool_; }

 protected:
  virtual void Enqueue(std::function<void()> work) = 0;
  [[nodiscard]] virtual bool failed() const = 0;  // after a failed wait later work is skipped
  bool inline_ = true;

 private:
  ThreadPool& pool_;
};

}  // namespace mirage::platform
