// SPDX-License-Identifier: Apache-2.0
#pragma once

// RowScore: of one row of logits that arrives in pieces, in any order of them, how likely a target
// is and which tokens are the likeliest.
//
// One thread at a time.

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "base/token_logprob.h"

namespace mirage::model {

class RowScore {
 public:
  // `top_count`: likeliest tokens to remember, at most the vocabulary.
  RowScore(int32_t target, int32_t top_count);

  // logits[i] is that of token first_token + i.
  void Add(int32_t first_token, std::span<const float> logits);

  // Once all pieces are there. Not a finite number where some logit is none.
  [[nodiscard]] double logprob() const { return target_logit_ - LogSum(); }
  // Likeliest first, lowest id first on ties.
  void WriteTop(std::span<TokenLogprob> top) const;

 private:
  struct Ranked {
    int32_t token;
    float logit;
  };
  [[nodiscard]] static bool Likelier(const Ranked& a, const Ranked& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  }
  [[nodiscard]] double LogSum() const;
  void AddToSum(std::span<const float> logits);
  void AddToTop(int32_t first_token, std::span<const float> logits);

  int32_t target_;
  size_t top_count_;
  double target_logit_ = 0;
  float max_ = -std::numeric_limits<float>::infinity();
  double sum_ = 0;           // of exp(logit - max_)
  std::vector<Ranked> top_;  // a heap, the least likely in front
};

}  // namespace mirage::model
