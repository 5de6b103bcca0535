// SPDX-License-Identifier: Apache-2.0
#include "engine/prompt_scores.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/file_error.h"

namespace mirage::engine {

Scores PromptScores::Wish(std::span<const int32_t> tokens, int64_t begin, int64_t count) {
  part_.reset();
  const int64_t first = std::max(next_, begin + 1);
  const int64_t end = std::min(end_, begin + count + 1);
  if (first >= end) return {};
  const std::span<const int32_t> targets =
      tokens.subspan(static_cast<size_t>(first), static_cast<size_t>(end - first));
  auto part = std::make_shared<PromptPart>();
  part->first = first;
  part->tokens.assign(targets.begin(), targets.end());
  part->top_count = top_count_;
  part->top.resize(targets.size() * static_cast<size_t>(top_count_));
  logprobs_.resize(targets.size());
  part_ = std::move(part);
  return {first - 1 - begin, targets, logprobs_, top_count_, part_->top};
}

Result<std::shared_ptr<const PromptPart>> PromptScores::Take() {
  if (part_ == nullptr) return std::shared_ptr<const PromptPart>();
  MIRAGE_TRY(CheckNumbers(logprobs_, part_->first));
  part_->logprobs.assign(logprobs_.begin(), logprobs_.end());
  next_ = part_->first + static_cast<int64_t>(part_->tokens.size());
  return std::shared_ptr<const PromptPart>(std::exchange(part_, nullptr));
}

Status CheckNumbers(std::span<const double> logprobs, int64_t first) {
  const auto bad = std::find_if_not(logprobs.begin(), logprobs.end(),
                                    [](double logprob) { return std::isfinite(logprob); });
  if (bad == logprobs.end()) return {};
  return FileError(Code::kCorrupt,
                   "the model gives logits that are not numbers for the token at position " +
                       std::to_string(first + (bad - logprobs.begin())));
}

}  // namespace mirage::engine
