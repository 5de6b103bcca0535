// SPDX-License-Identifier: Apache-2.0
#pragma once

// FillLog: how much was filled while the model ran, and how much of that time was hidden behind
// compute.
//
// A fill's time is hidden as far as no stream waited for it. Any thread.

#include <cstdint>
#include <deque>
#include <mutex>

#include "platform/stream.h"

namespace mirage::memory {

class FillLog {
 public:
  struct Totals {
    uint64_t bytes = 0;
    int64_t hidden_ns = 0;
    int64_t unhidden_ns = 0;
  };

  void Add(const platform::Event& fill, uint64_t bytes);
  // Of the fills that are done and did not fail.
  [[nodiscard]] Totals Sum() const;

 private:
  struct Fill {
    platform::Event event;
    uint64_t bytes;
  };
  static void AddTo(Totals& totals, const Fill& fill);

  mutable std::mutex mutex_;
  std::deque<Fill> recent_;  // streams may still wait for these
  Totals older_;
};

}  // namespace mirage::memory
