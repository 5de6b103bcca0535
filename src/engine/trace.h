// SPDX-License-Identifier: Apache-2.0
#pragma once

// Trace: what the engine did, when and why, for a person to look at.
//
// Off until Start. Then the newest events are kept in a ring taken at once, so recording never
// allocates and a long run does not grow. WriteJson gives them in the Trace Event Format that
// Perfetto (ui.perfetto.dev) and Chrome read: one track of steps, one track per request.
//
// Any thread.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"

namespace mirage::engine {

struct TraceEvent {
  enum class Kind : uint8_t {
    kStep,     // a pass; requests, prompt_tokens and decode_tokens took part
    kPhase,    // a part of a request's life
    kInstant,  // something that happened to a request
  };
  struct Field {
    const char* name = nullptr;  // nullptr: none from here on
    int64_t value = 0;
  };
  Kind kind = Kind::kInstant;
  const char* name = "";    // static
  const char* reason = "";  // static; "" for none
  uint64_t request = 0;     // kPhase, kInstant: its track
  int64_t begin_ns = 0;
  int64_t end_ns = 0;  // kStep, kPhase
  Field fields[3];
};

class Trace {
 public:
  static constexpr size_t kMostEvents = size_t{1} << 20;

  // Forgets what was recorded and keeps the newest `events` from now on. kInvalidArgument outside
  // 1..kMostEvents.
  [[nodiscard]] Status Start(size_t events);
  // Records no more; what was recorded stays to be written.
  void Stop() { on_.store(false, std::memory_order_relaxed); }
  [[nodiscard]] bool on() const { return on_.load(std::memory_order_relaxed); }

  void Add(const TraceEvent& event) noexcept {
    if (on()) Record(event);
  }

  [[nodiscard]] std::string WriteJson() const;

 private:
  void Record(const TraceEvent& event) noexcept;

  std::atomic<bool> on_ = false;
  mutable std::mutex mutex_;
  std::vector<TraceEvent> ring_;
  uint64_t recorded_ = 0;  // since Start; the ring holds the last ring_.size() of them
};

}  // namespace mirage::engine
