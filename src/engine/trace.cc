// SPDX-License-Identifier: Apache-2.0
#include "engine/trace.h"

#include <algorithm>
#include <string>
#include <utility>

namespace mirage::engine {
Status Trace::Start(size_t events) {
  if (events == 0 || events > kMostEvents)
    return Fail(Code::kInvalidArgument, "a trace of " + std::to_string(events) + " events; 1 to " +
                                            std::to_string(kMostEvents) + " can be kept");
  std::vector<TraceEvent> ring(events);
  const std::lock_guard lock(mutex_);
  ring_ = std::move(ring);
  recorded_ = 0;
  on_.store(true, std::memory_order_relaxed);
  return {};
}

void Trace::Record(const TraceEvent& event) noexcept {
  const std::lock_guard lock(mutex_);
  if (ring_.empty()) return;
  ring_[recorded_ % ring_.size()] = event;
  ++recorded_;
}

Trace::Recorded Trace::Events() const {
  const std::lock_guard lock(mutex_);
  const uint64_t held = std::min<uint64_t>(recorded_, ring_.size());
  Recorded out;
  out.dropped = recorded_ - held;
  out.events.reserve(held);
  for (uint64_t i = out.dropped; i < recorded_; ++i) out.events.push_back(ring_[i % ring_.size()]);
  return out;
}

}  // namespace mirage::engine
