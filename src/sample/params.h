// SPDX-License-Identifier: Apache-2.0
#pragma once

// Params: how a token is chosen from a row of logits.
//
// Logit bias and the masks (a grammar's, allowed_tokens, banned_sequences, and what the caller
// forbids) come first, then the stages of `order`, then the draw. The defaults are the command's; a
// model's own generation config and the caller override them field by field.

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sample/order.h"
#include "sample/token_sequences.h"

namespace mirage::sample {

struct Params {
  float temperature = 0.8f;        // <= 0: argmax, the lowest id on ties, whatever truncates
  int32_t top_k = 40;              // 0: off
  float top_p = 0.95f;             // 1: off
  float min_p = 0.05f;             // 0: off
  float typical_p = 1.0f;          // 1: off
  float top_n_sigma = 0.0f;        // 0: off
  float repeat_penalty = 1.0f;     // over the last repeat_last_n tokens of prompt and output
  int32_t repeat_last_n = 64;      // 0: off, -1: all
  float presence_penalty = 0.0f;   // over the output
  float frequency_penalty = 0.0f;  // over the output

  float dry_multiplier = 0.0f;  // 0: off (sample/dry.h)
  float dry_base = 1.75f;
  int32_t dry_allowed_length = 2;
  int32_t dry_penalty_last_n = -1;                     // of prompt and output; 0: off, -1: all
  std::shared_ptr<const TokenSequences> dry_breakers;  // null: none

  float xtc_probability = 0.0f;  // 0: off (sample/xtc.h)
  float xtc_threshold = 0.1f;

  float dynatemp_range = 0.0f;  // 0: off; temperature - range to temperature + range
  float dynatemp_exponent = 1.0f;

  int32_t mirostat = 0;  // 0: off; 1 or 2 replaces all stages that truncate (sample/mirostat.h)
  float mirostat_tau = 5.0f;
  float mirostat_eta = 0.1f;

  Order order = DefaultOrder();
  uint64_t seed = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;  // added to the token's logit; -inf forbids it
  std::vector<int32_t> allowed_tokens;                // empty: all
  std::shared_ptr<const TokenSequences> banned_sequences;  // never completed; null: none
};

// kInvalidArgument naming the parameter that is out of its range (NaN included), its value and the
// range, or the token that is not below `vocabulary`.
[[nodiscard]] Status CheckParams(const Params& params, int32_t vocabulary);

}  // namespace mirage::sample
