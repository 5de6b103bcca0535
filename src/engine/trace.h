// SPDX-License-Identifier: Apache-2.0
#pragma once

// Trace: what the engine did, when and why, for a person to look at.
//
// Off until Start. Then the newest events are kept in a ring taken at once, so recording never
// allocates and a long run does not grow. session/trace_json.h writes them down.
//
// Any thread.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
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

  // What was recorded, oldest first. Copied, so that the engine does not wait for the reader.
  struct Recorded {
    std::vector<TraceEvent> events;
    uint64_t dropped = 0;  // older ones
  };
  [[nodiscard]] Recorded Events() const;

 private:
  void Record(const TraceEvent& event) noexcept;

  std::atomic<bool> on_ = false;
  mutable std::mutex mutex_;
  std::vector<TraceEvent> ring_;
  uint64_t recorded_ = 0;  // since Start; the ring holds the last ring_.size() of them
};

}  // namespace mirage::engine
