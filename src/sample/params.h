// SPDX-License-Identifier: Apache-2.0
#pragma once

// Params: how a token is chosen from a row of logits.
//
// Order of application: bias, grammar mask, penalties, top-k, typical, top-p, min-p, temperature,
// draw. The defaults are the command's; a model's own generation config and the caller override
// them field by field.

#include <cstdint>
#include <utility>
#include <vector>

namespace mirage::sample {

struct Params {
  float temperature = 0.8f;        // <= 0: argmax, the lowest id on ties
  int32_t top_k = 40;              // 0: off
  float top_p = 0.95f;             // 1: off
  float min_p = 0.05f;             // 0: off
  float typical_p = 1.0f;          // 1: off (arXiv 2202.00666)
  float repeat_penalty = 1.0f;     // over the last repeat_last_n tokens of prompt and output
  int32_t repeat_last_n = 64;      // 0: off, -1: all
  float presence_penalty = 0.0f;   // over the output
  float frequency_penalty = 0.0f;  // over the output
  uint64_t seed = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;  // added to the token's logit; -inf forbids it
};

}  // namespace mirage::sample
