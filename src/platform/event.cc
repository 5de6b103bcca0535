// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <optional>
#include <utility>

#include "platform/stream.h"

namespace mirage::platform {

struct Event::State {
  enum : uint32_t { kPending, kBeingSignalled, kSignalled };
  std::atomic<uint32_t> phase{kPending};
  std::atomic<int64_t> waited_ns{0};
  // Written once, before phase becomes kSignalled.
  std::optional<Error> failure;
  int64_t took_ns = 0;
  VirtualClock* clock = nullptr;
  int64_t due_ns = 0;

  bool signalled() const { return phase.load(std::memory_order_acquire) == kSignalled; }
  void Block() const {
    for (uint32_t seen = phase.load(std::memory_order_acquire); seen != kSignalled;
         seen = phase.load(std::memory_order_acquire))
      phase.wait(seen, std::memory_order_acquire);
  }
  void Signal(VirtualClock* with_clock, int64_t at_ns, Status&& status, int64_t work_ns) {
    uint32_t expected = kPending;
    if (!phase.compare_exchange_strong(expected, kBeingSignalled)) return;
    if (!status) failure = std::move(status).error();
    took_ns = work_ns;
    clock = with_clock;
    due_ns = at_ns;
    phase.store(kSignalled, std::memory_order_release);
    phase.notify_all();
  }
};

Event Event::Pending() {
  Event event;
  event.state_ = std::make_shared<State>();
  return event;
}

bool Event::done() const {
  if (!state_) return true;
  if (!state_->signalled()) return false;
  return state_->clock == nullptr || state_->clock->NowNs() >= state_->due_ns;
}

void Event::Signal(Status status, int64_t took_ns) const {
  if (state_) state_->Signal(nullptr, 0, std::move(status), took_ns);
}

void Event::SignalAt(VirtualClock& clock, int64_t at_ns, Status status, int64_t took_ns) const {
  if (state_) state_->Signal(&clock, at_ns, std::move(status), took_ns);
}

Status Event::Wait() const {
  Await();
  return outcome();
}

void Event::Await() const {
  if (!state_) return;
  state_->Block();
  if (state_->clock != nullptr) state_->clock->AdvanceTo(state_->due_ns);
}

bool Event::failed() const { return done() && state_ && state_->failure.has_value(); }

Status Event::outcome() const {
  if (!state_) return {};
  state_->Block();
  if (state_->failure) return Fail(*state_->failure);
  return {};
}

int64_t Event::due_ns() const {
  if (!state_) return 0;
  state_->Block();
  return state_->due_ns;
}

int64_t Event::took_ns() const { return state_ && done() ? state_->took_ns : 0; }

int64_t Event::waited_ns() const {
  return state_ ? state_->waited_ns.load(std::memory_order_relaxed) : 0;
}

void Event::AddWaited(int64_t ns) const {
  if (state_) state_->waited_ns.fetch_add(ns, std::memory_order_relaxed);
}

}  // namespace mirage::platform
