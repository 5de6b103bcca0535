// SPDX-License-Identifier: Apache-2.0
#include "engine/step_plan.h"

#include <algorithm>

namespace mirage::engine {

std::vector<Grant> PlanStep(std::span<const Candidate> candidates, const StepLimits& limits) {
  std::vector<size_t> decoding;
  std::vector<size_t> prompts;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].pending == 1) decoding.push_back(i);
    if (candidates[i].pending > 1) prompts.push_back(i);
  }
  std::stable_sort(decoding.begin(), decoding.end(), [&](size_t a, size_t b) {
    return candidates[a].last_served < candidates[b].last_served;
  });

  std::vector<Grant> grants;
  int64_t tokens_left = limits.tokens;
  int32_t rows_left = limits.logit_rows;
  const int64_t kept_for_prompts =
      prompts.empty() ? 0 : std::min(kLeastPromptTokens, limits.tokens / 2);
  for (const size_t i : decoding) {
    if (tokens_left <= kept_for_prompts || rows_left == 0) break;
    grants.push_back({i, 1, 0});
    --tokens_left;
    --rows_left;
  }
  if (candidates.size() > 1)
    tokens_left = std::min(tokens_left, std::max(limits.prompt_tokens, kept_for_prompts));
  for (const size_t i : prompts) {
    if (tokens_left == 0) break;
    const int64_t pending = candidates[i].pending;
    int64_t tokens = std::min(pending, tokens_left);
    if (tokens == pending && rows_left == 0)
      --tokens;  // its last token waits for a step that has a row for it
    if (tokens == 0) continue;
    if (tokens == pending) --rows_left;
    grants.push_back({i, tokens, 0});
    tokens_left -= tokens;
  }
  bool more = true;
  while (more) {
    more = false;
    for (Grant& grant : grants) {
      if (tokens_left == 0 || rows_left == 0) return grants;
      if (grant.guesses == candidates[grant.candidate].guesses) continue;
      ++grant.guesses;
      --tokens_left;
      --rows_left;
      more = true;
    }
  }
  return grants;
}

}  // namespace mirage::engine
