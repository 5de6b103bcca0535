// SPDX-License-Identifier: Apache-2.0
#pragma once

// Time as the library sees it: the machine's, or a test's and the simulator's own.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/checked.h"

namespace mirage {

// Nanoseconds since an arbitrary start; never goes back.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual int64_t NowNs() const = 0;
};

class SteadyClock final : public Clock {
 public:
  [[nodiscard]] int64_t NowNs() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
};

// Advances only when told to. Any thread.
class VirtualClock final : public Clock {
 public:
  [[nodiscard]] int64_t NowNs() const override { return now_ns_.load(std::memory_order_acquire); }
  void AdvanceTo(int64_t ns) {
    int64_t seen = now_ns_.load(std::memory_order_relaxed);
    while (seen < ns && !now_ns_.compare_exchange_weak(seen, ns, std::memory_order_acq_rel)) {
    }
  }

 private:
  std::atomic<int64_t> now_ns_{0};
};

// Milliseconds from `now_ns`; nothing where that is past all times.
[[nodiscard]] constexpr std::optional<int64_t> AfterMillis(int64_t now_ns, int64_t ms) {
  const std::optional<int64_t> ns = CheckedMul(ms, int64_t{1'000'000});
  return ns ? CheckedAdd(now_ns, *ns) : std::nullopt;
}

}  // namespace mirage
