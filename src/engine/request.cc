// SPDX-License-Identifier: Apache-2.0
#include "engine/request.h"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/request_state.h"

namespace mirage::engine {

namespace {

// Longer waits would overflow the clock they are added to.
constexpr std::chrono::hours kLongestWait{24 * 365};

}  // namespace

void Request::State::Push(Output output) {
  {
    const std::lock_guard lock(mutex);
    awaiting_accept = output.kind == Output::Kind::kLogits;
    queue.push_back(std::move(output));
  }
  Notify();
}

void Request::State::Finish(engine::Finish finish, Error error) noexcept {
  {
    const std::lock_guard lock(mutex);
    if (done) return;
    awaiting_accept = false;
    done.emplace();
    done->kind = Output::Kind::kDone;
    done->finish = finish;
    done->error = std::move(error);
  }
  Notify();
}

bool Request::State::Full() const {
  const std::lock_guard lock(mutex);
  return queue.size() >= capacity;
}

std::optional<CancelMode> Request::State::cancelled() const {
  const std::lock_guard lock(mutex);
  return cancel;
}

std::optional<int32_t> Request::State::TakeAccepted() {
  const std::lock_guard lock(mutex);
  return std::exchange(accepted, std::nullopt);
}

void Request::State::Notify() noexcept {
  changed.notify_all();
  std::shared_ptr<const std::function<void()>> callback;
  {
    const std::lock_guard lock(mutex);
    callback = on_ready;
  }
  if (callback == nullptr) return;
  try {
    (*callback)();
  } catch (...) {
    // The reader still finds its output by asking; a step must not fail for a notice that could not
    // be given.
  }
}

Request::~Request() { Cancel(CancelMode::kStop); }

std::optional<Output> Request::Next(std::chrono::nanoseconds timeout) {
  State& state = *state_;
  std::optional<Output> output;
  bool was_full = false;
  {
    std::unique_lock lock(state.mutex);
    const auto ready = [&] { return !state.queue.empty() || state.done.has_value(); };
    if (timeout.count() < 0)
      state.changed.wait(lock, ready);
    else if (!state.changed.wait_for(
                 lock, std::min<std::chrono::nanoseconds>(timeout, kLongestWait), ready))
      return std::nullopt;
    if (state.queue.empty()) return state.done;
    was_full = state.queue.size() >= state.capacity;
    output = std::move(state.queue.front());
    state.queue.pop_front();
  }
  if (was_full) state.wake_engine();
  return output;
}

void Request::Drain() noexcept {
  std::unique_lock lock(state_->mutex);
  while (!state_->done.has_value()) {
    const bool was_full = state_->queue.size() >= state_->capacity;
    state_->queue.clear();
    if (was_full) {
      lock.unlock();
      state_->wake_engine();
      lock.lock();
    }
    state_->changed.wait(lock,
                         [this] { return !state_->queue.empty() || state_->done.has_value(); });
  }
  state_->queue.clear();
}

bool Request::ready() const {
  const std::lock_guard lock(state_->mutex);
  return !state_->queue.empty() || state_->done.has_value();
}

void Request::OnReady(std::function<void()> callback) {
  std::shared_ptr<const std::function<void()>> shared;
  if (callback) shared = std::make_shared<const std::function<void()>>(std::move(callback));
  {
    const std::lock_guard lock(state_->mutex);
    state_->on_ready = shared;
  }
  if (shared) (*shared)();
}

void Request::Cancel(CancelMode mode) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->done || state_->cancel) return;
    state_->cancel = mode;
  }
  state_->wake_engine();
}

Status Request::Accept(int32_t token) {
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->awaiting_accept)
      return Fail(Code::kInvalidArgument, "no logits of this generation wait for a token");
    if (token < 0 || token >= state_->vocabulary)
      return Fail(Code::kInvalidArgument, "token " + std::to_string(token) +
                                              " is outside the vocabulary of " +
                                              std::to_string(state_->vocabulary));
    state_->awaiting_accept = false;
    state_->accepted = token;
  }
  state_->wake_engine();
  return {};
}

RequestStats Request::stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->stats;
}

bool Request::finished() const {
  const std::lock_guard lock(state_->mutex);
  return state_->done.has_value();
}

Finish Request::finish() const {
  const std::lock_guard lock(state_->mutex);
  return state_->done.has_value() ? state_->done->finish : Finish::kNone;
}

}  // namespace mirage::engine
