// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a machine computes fastest: how many threads, and how their work is cut. No result depends
// on it.
//
// Measured on weights made up for it, through the table of kernels that will compute. One thread
// at a time, with nothing else running if the result is to mean something.

#include <cstdint>
#include <functional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "kernels/ops.h"
#include "platform/device.h"
#include "platform/thread_pool.h"

namespace mirage::model {

struct Tuning {
  platform::PassThreads threads;
  platform::TaskCut cut;
};

// One way to compute, and how fast it was at its best.
struct TuningTrial {
  enum class Pass : uint8_t { kDecode, kPrefill };
  Pass pass = Pass::kDecode;
  int threads = 0;
  platform::TaskCut cut;
  double rate = 0;     // decode: 10^9 bytes of weights per second; prefill: 10^9 multiply-adds
  double speedup = 1;  // over the default it was compared with: the median of rounds side by side
};

struct MeasuredTuning {
  Tuning tuning;
  std::vector<TuningTrial> trials;
};

// Milliseconds measured, and in all; false cancels, and kCancelled comes back.
using TuningProgress = std::function<bool(int64_t done_ms, int64_t total_ms)>;

// Takes `weight_bytes` of memory, which should be more than the caches hold, and about 12 seconds.
// What is not clearly faster than the defaults, one thread per core among them, leaves them: a
// machine is never as quiet as it should be.
[[nodiscard]] Result<MeasuredTuning> MeasureTuning(const kernels::Ops& ops, uint64_t weight_bytes,
                                                   const Clock& clock,
                                                   const TuningProgress& progress);

}  // namespace mirage::model
