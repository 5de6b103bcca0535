// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which requests take part in the next step, and with how many tokens: arithmetic over plain
// counters.
//
// Decode first: every request that only needs its next token gets it, so running streams go on;
// prompts share what is left in order of arrival. While streams run, the prompt part is bounded,
// which bounds the time between their tokens.

#include <cstdint>
#include <span>
#include <vector>

namespace mirage::engine {

struct StepLimits {
  int64_t tokens = 0;         // of the step
  int32_t logit_rows = 0;     // sequences that get logits
  int64_t prompt_tokens = 0;  // prompt tokens while any stream is running; no bound when none is
};

// In order of arrival.
struct Candidate {
  int64_t pending = 0;  // tokens to compute before the next one can be sampled; 1: decoding
};

struct Grant {
  size_t candidate = 0;
  int64_t tokens = 0;  // 1..pending; all of them: its last token's logits are wanted
};

[[nodiscard]] std::vector<Grant> PlanStep(std::span<const Candidate> candidates,
                                          const StepLimits& limits);

}  // namespace mirage::engine
