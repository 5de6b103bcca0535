// SPDX-License-Identifier: Apache-2.0
#pragma once

// PromptScores: how likely each token of a request's prompt is after those before it, from the
// passes that compute the prompt.
//
// What is known of a token comes of computing the one before it, so a cache is of use only up to
// most_cached(): what it holds beyond, of whatever request, is computed again. What was scored
// stays when its keys and values are given up.
//
// Engine thread, once made.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/token_logprob.h"
#include "engine/model_runner.h"

namespace mirage::engine {

// A run of a prompt's tokens.
struct PromptPart {
  int64_t first = 0;  // position of tokens[0]
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;  // [tokens]
  int32_t top_count = 0;
  std::vector<TokenLogprob> top;  // [tokens][top_count], likeliest first, lowest id first on ties
};

class PromptScores {
 public:
  // Of the tokens at positions [first, end), first at least 1.
  PromptScores(int64_t first, int64_t end, int32_t top_count)
      : next_(first), end_(end), top_count_(top_count) {}

  [[nodiscard]] bool done() const { return next_ >= end_; }
  // While not done.
  [[nodiscard]] int64_t most_cached() const { return next_ - 1; }

  // What a pass is to give that computes positions [begin, begin + count) of `tokens`, a
  // sequence's. Good until the next call.
  [[nodiscard]] Scores Wish(std::span<const int32_t> tokens, int64_t begin, int64_t count);
  // That pass was committed: what it gave, null for nothing. kCorrupt for what is not a number.
  [[nodiscard]] Result<std::shared_ptr<const PromptPart>> Take();

 private:
  int64_t next_;  // the first token that is not scored
  const int64_t end_;
  const int32_t top_count_;
  std::shared_ptr<PromptPart> part_;  // of the pass to come
  std::vector<double> logprobs_;      // as it gives them
};

// kCorrupt naming the position, `first` being that of logprobs[0], where one is not a number.
[[nodiscard]] Status CheckNumbers(std::span<const double> logprobs, int64_t first);

}  // namespace mirage::engine
