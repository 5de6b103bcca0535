// SPDX-License-Identifier: Apache-2.0
#include "engine/step_plan.h"

#include <algorithm>

namespace mirage::engine {

std::vector<Grant> PlanStep(std::span<const Candidate> candidates, const StepLimits& limits) {
  std::vector<Grant> grants;
  int64_t tokens_left = limits.tokens;
  int32_t rows_left = limits.logit_rows;
  for (size_t i = 0; i < candidates.size() && tokens_left > 0 && rows_left > 0; ++i) {
    if (candidates[i].pending != 1) continue;
    grants.push_back({i, 1});
    --tokens_left;
    --rows_left;
  }
  if (!grants.empty()) tokens_left = std::min(tokens_left, limits.prompt_tokens);
  for (size_t i = 0; i < candidates.size() && tokens_left > 0; ++i) {
    const int64_t pending = candidates[i].pending;
    if (pending <= 1) continue;
    int64_t tokens = std::min(pending, tokens_left);
    if (tokens == pending && rows_left == 0)
      --tokens;  // its last token waits for a step that has a row for it
    if (tokens == 0) continue;
    if (tokens == pending) --rows_left;
    grants.push_back({i, tokens});
    tokens_left -= tokens;
  }
  return grants;
}

}  // namespace mirage::engine
