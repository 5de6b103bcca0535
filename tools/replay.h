// SPDX-License-Identifier: Apache-2.0
#pragma once

// Replay: requests sent to a model as they arrive, and what each had to wait.

#include <cstdint>
#include <vector>

#include "tools/api.h"
#include "tools/arrivals.h"

namespace mirage::cli {

struct Replayed {
  double seconds = 0;                // until the last answer ended, or it was cut
  std::vector<double> first_tokens;  // of each request, from its arrival; cut: at least so long
  std::vector<double> gaps;          // between the tokens of each answer
  uint64_t output_tokens = 0;
  int64_t wanted_tokens = 0;  // of all answers
  int64_t finished = 0;       // requests
  uint64_t preemptions = 0;
  mirage_runtime_stats stats{};
};

// One session each, of random tokens, none like another. One for which there is no memory to start
// waits outside, in order. After `most_seconds` what still runs is cancelled.
[[nodiscard]] Replayed Replay(mirage_runtime* runtime, mirage_model* model,
                              const std::vector<Arrival>& arrivals, double most_seconds);

}  // namespace mirage::cli
