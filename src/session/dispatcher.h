// SPDX-License-Identifier: Apache-2.0
#pragma once

// Dispatcher: the one thread of a runtime on which callbacks run.
//
// Callbacks never run on the engine's thread, so a slow one delays other callbacks only. A Client
// with something to deliver is posted; the thread asks it for a bounded amount and turns to the
// next, so that none starves. Posting allocates nothing: a notice is never lost for want of memory.
//
// Any thread. The dispatcher may be destroyed on its own thread, when a callback closes the last
// handle: then the thread ends by itself instead of being joined.

#include <condition_variable>
#include <memory>
#include <mutex>

#include "platform/thread.h"

namespace mirage::session {

class Dispatcher {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    // Delivers some of what is ready; true when there may be more.
    [[nodiscard]] virtual bool Deliver() noexcept = 0;

   private:
    friend class Dispatcher;
    std::shared_ptr<Client> next_;  // the one posted after it
    bool queued_ = false;           // both guarded by Queue::mutex
  };

  Dispatcher() : queue_(std::make_shared<Queue>()) {}
  ~Dispatcher() { Stop(); }

  // Starts the thread unless it runs already.
  void Start();

  // Keeps the client until its turn. One that waits for its turn already keeps its place; posts
  // after Stop are dropped.
  void Post(std::shared_ptr<Client> client) noexcept;

  // Delivers what was posted, then ends the thread and, on any other thread, waits for that.
  void Stop();

  // Whether the calling thread is the dispatch thread of any runtime: it must not block.
  [[nodiscard]] static bool OnDispatchThread();

 private:
  // Outlives the dispatcher for as long as its thread needs it.
  struct Queue {
    std::mutex mutex;
    std::condition_variable wake;
    std::shared_ptr<Client> first;
    Client* last = nullptr;
    bool stopped = false;

    ~Queue();
    // Both with the mutex held.
    void Append(std::shared_ptr<Client> client) noexcept;
    [[nodiscard]] std::shared_ptr<Client> TakeFirst() noexcept;
  };
  static void Run(const std::shared_ptr<Queue>& queue);

  std::shared_ptr<Queue> queue_;
  platform::Thread thread_;  // guarded by queue_->mutex until stopped
};

}  // namespace mirage::session
