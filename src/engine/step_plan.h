// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which requests take part in the next step, and with how many tokens: arithmetic over plain
// counters.
//
// Decode first: requests that only need their next token get it, those that waited longest first,
// so running streams go on; a few tokens are always left for prompts. When several requests take
// part the prompt part is bounded, which bounds the time between the streams' tokens and until a
// cancel is seen. Guesses take what is left over, a token of each stream in turn.
//
// Prompts share their part in order of deadline, then of arrival; but a long one at the head leaves
// half of it to much shorter ones, which else would wait for all of it.
//
// Higher priorities come before lower ones in both. Whoever has been left out for kStarvedSteps
// comes first all the same: a low priority means later, not never.

#include <cstdint>
#include <span>
#include <vector>

namespace mirage::engine {

// A prompt always gets on by this much, however many streams run.
inline constexpr int64_t kLeastPromptTokens = 16;

// A prompt this many times longer than another leaves it half of its part.
inline constexpr int64_t kMuchLonger = 4;

// Steps after which somebody left out is served before all others.
inline constexpr uint64_t kStarvedSteps = 64;

struct StepLimits {
  int64_t tokens = 0;      // of the step
  int32_t logit_rows = 0;  // sequences that get logits
  int64_t prompt_tokens =
      0;              // prompt tokens when several requests take part; one alone has no bound
  uint64_t step = 0;  // its number
};

// In order of arrival.
struct Candidate {
  int64_t pending = 0;       // tokens to compute before the next one can be sampled; 1: decoding
  uint64_t last_served = 0;  // the number of the last step it took part in, or before which it came
  int64_t guesses = 0;       // decoding: tokens guessed to follow, to be checked in the same pass
  int32_t priority = 0;
  int64_t deadline_ns = INT64_MAX;
};

struct Grant {
  size_t candidate = 0;
  int64_t tokens = 0;   // 1..pending; all of them: its last token's logits are wanted
  int64_t guesses = 0;  // besides these; a row of logits each
};

[[nodiscard]] std::vector<Grant> PlanStep(std::span<const Candidate> candidates,
                                          const StepLimits& limits);

}  // namespace mirage::engine
