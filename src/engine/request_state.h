// SPDX-License-Identifier: Apache-2.0
#pragma once

// Request::State: what the reader and the engine thread share of one request.
//
// The engine thread pushes outputs and reads cancellation; any other thread reads outputs and
// cancels.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "engine/request.h"

namespace mirage::engine {

struct Request::State {
  explicit State(size_t queue_capacity, int32_t vocabulary_size)
      : capacity(queue_capacity), vocabulary(vocabulary_size) {}

  // Engine thread.
  void Push(Output output);
  void Finish(engine::Finish finish, Error error) noexcept;  // allocates nothing
  [[nodiscard]] bool Full() const;                           // the reader has to catch up first
  [[nodiscard]] std::optional<CancelMode> cancelled() const;
  [[nodiscard]] std::optional<int32_t> TakeAccepted();
  template <typename Update>
  void UpdateStats(Update&& update) {
    const std::lock_guard lock(mutex);
    update(stats);
  }

  [[nodiscard]] RequestStats Stats() const {
    const std::lock_guard lock(mutex);
    return stats;
  }

  const size_t capacity;
  const int32_t vocabulary;
  std::function<void()> wake_engine;  // set once before the request is shared

  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Output> queue;
  std::optional<Output> done;
  std::optional<CancelMode> cancel;
  std::optional<int32_t> accepted;
  bool awaiting_accept = false;
  std::shared_ptr<const std::function<void()>> on_ready;  // shared: taking it allocates nothing
  RequestStats stats;

 private:
  void Notify() noexcept;
};

}  // namespace mirage::engine
