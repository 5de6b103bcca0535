// SPDX-License-Identifier: Apache-2.0
#include "engine/step_plan.h"

#include <algorithm>
#include <utility>

namespace mirage::engine {

namespace {

// Hands out what a step has to give.
class Plan {
 public:
  Plan(std::span<const Candidate> candidates, const StepLimits& limits)
      : candidates_(candidates), tokens_left_(limits.tokens), rows_left_(limits.logit_rows) {}

  [[nodiscard]] int64_t tokens_left() const { return tokens_left_; }
  [[nodiscard]] int32_t rows_left() const { return rows_left_; }
  void Bound(int64_t tokens) { tokens_left_ = std::min(tokens_left_, tokens); }

  // Up to `most` more tokens. The last one of what is pending waits for a step that has a row for
  // it.
  void Give(size_t candidate, int64_t most) {
    const auto given = std::find_if(grants_.begin(), grants_.end(), [&](const Grant& grant) {
      return grant.candidate == candidate;
    });
    const int64_t before = given == grants_.end() ? 0 : given->tokens;
    const int64_t pending = candidates_[candidate].pending - before;
    int64_t tokens = std::min({pending, most, tokens_left_});
    if (tokens == pending && rows_left_ == 0) --tokens;
    if (tokens <= 0) return;
    if (tokens == pending) --rows_left_;
    tokens_left_ -= tokens;
    if (given == grants_.end())
      grants_.push_back({candidate, tokens, 0});
    else
      given->tokens += tokens;
  }

  // What is left over, to one after the other.
  void GiveGuesses() {
    for (bool more = true; more;) {
      more = false;
      for (Grant& grant : grants_) {
        if (tokens_left_ == 0 || rows_left_ == 0) return;
        if (grant.guesses == candidates_[grant.candidate].guesses) continue;
        ++grant.guesses;
        --tokens_left_;
        --rows_left_;
        more = true;
      }
    }
  }

  [[nodiscard]] std::vector<Grant> Take() { return std::move(grants_); }

 private:
  const std::span<const Candidate> candidates_;
  int64_t tokens_left_;
  int32_t rows_left_;
  std::vector<Grant> grants_;
};

// Half of what the head's prompt could have, shortest first.
void GiveToMuchShorter(std::span<const Candidate> candidates, std::span<const size_t> prompts,
                       Plan* plan) {
  const Candidate& head = candidates[prompts.front()];
  if (head.pending <= plan->tokens_left()) return;  // it is not in the way for long
  std::vector<size_t> shorter;
  for (const size_t i : prompts.subspan(1))
    if (candidates[i].pending * kMuchLonger <= head.pending &&
        candidates[i].priority >= head.priority)
      shorter.push_back(i);
  std::stable_sort(shorter.begin(), shorter.end(), [&](size_t a, size_t b) {
    return candidates[a].pending < candidates[b].pending;
  });
  int64_t share = plan->tokens_left() / 2;
  for (const size_t i : shorter) {
    const int64_t before = plan->tokens_left();
    plan->Give(i, share);
    share -= before - plan->tokens_left();
  }
}

}  // namespace

std::vector<Grant> PlanStep(std::span<const Candidate> candidates, const StepLimits& limits) {
  std::vector<size_t> decoding;
  std::vector<size_t> prompts;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (candidates[i].pending == 1) decoding.push_back(i);
    if (candidates[i].pending > 1) prompts.push_back(i);
  }
  // Starved ones by how long, then the others by priority.
  const auto rank = [&](size_t i) {
    const Candidate& candidate = candidates[i];
    const bool starved = limits.step >= candidate.last_served + kStarvedSteps;
    return std::pair(starved ? 0 : 1, starved ? int64_t{0} : -int64_t{candidate.priority});
  };
  std::stable_sort(decoding.begin(), decoding.end(), [&](size_t a, size_t b) {
    return std::pair(rank(a), candidates[a].last_served) <
           std::pair(rank(b), candidates[b].last_served);
  });
  std::stable_sort(prompts.begin(), prompts.end(), [&](size_t a, size_t b) {
    return std::pair(rank(a), candidates[a].deadline_ns) <
           std::pair(rank(b), candidates[b].deadline_ns);
  });

  Plan plan(candidates, limits);
  const int64_t kept_for_prompts =
      prompts.empty() ? 0 : std::min(kLeastPromptTokens, limits.tokens / 2);
  for (const size_t i : decoding) {
    if (plan.tokens_left() <= kept_for_prompts || plan.rows_left() == 0) break;
    plan.Give(i, 1);
  }
  if (candidates.size() > 1) plan.Bound(std::max(limits.prompt_tokens, kept_for_prompts));
  if (!prompts.empty()) GiveToMuchShorter(candidates, prompts, &plan);
  for (const size_t i : prompts) plan.Give(i, plan.tokens_left());
  plan.GiveGuesses();
  return plan.Take();
}

}  // namespace mirage::engine
