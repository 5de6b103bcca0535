// SPDX-License-Identifier: Apache-2.0
#pragma once

// RunSimulation: requests of a workload through the real engine, on a simulated machine.

#include <cstdint>
#include <string>
#include <vector>

#include "engine/policy/shortage_policy.h"
#include "sim/hardware.h"
#include "sim/histogram.h"
#include "sim/model_shape.h"
#include "sim/workload.h"

namespace mirage::sim {

struct ModelShare {
  ModelShape shape;
  double share = 1;  // of the fast memory, for its weights, keys and values
};

struct SimulationOptions {
  Hardware hardware;
  std::vector<ModelShare> models;
  const engine::ShortagePolicy* policy = &engine::HybridPolicy();  // not null
  // Each model's keys and values have what its weights leave of its share, and no more, as
  // processes side by side would; otherwise all share what there is.
  bool partitioned = false;
  int64_t target_step_ns = 50'000'000;
  double first_token_target_s = 1;       // goodput counts requests that meet both
  double between_tokens_target_s = 0.1;  // on average over a request's tokens
};

struct SimulationResult {
  int64_t requests = 0;
  int64_t refused = 0;  // they can never fit
  int64_t failed = 0;
  int64_t met = 0;  // both targets
  int64_t tokens = 0;
  int64_t preemptions = 0;
  uint64_t passes = 0;
  uint64_t bytes_lent = 0;
  uint64_t bytes_streamed = 0;
  int64_t unhidden_ns = 0;
  double seconds = 0;  // virtual, from the first arrival to the last token
  Histogram first_token;
  Histogram between_tokens;

  [[nodiscard]] double TokensPerSecond() const {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
  }
  [[nodiscard]] double RequestsPerSecond() const {
    return seconds > 0 ? static_cast<double>(requests - refused - failed) / seconds : 0;
  }
};

// `arrivals` in order of time, `model` an index into options.models. Prompts that with their answer
// exceed the model's context are cut. Deterministic. kOutOfMemory when the weights do not fit.
[[nodiscard]] Result<SimulationResult> RunSimulation(const SimulationOptions& options,
                                                     const std::vector<Arrival>& arrivals);

}  // namespace mirage::sim
