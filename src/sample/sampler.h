// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sampler: one request's rule from logits to a token.
//
// The draw is by inverse CDF in id order with a counter-based generator keyed by (seed, sample index within the
// request, absolute position of the token drawn), so it depends on nothing else: not on batch mates, not on what was
// drawn before, not on how often the step was retried.
//
// Const and re-entrant: scratch memory is the caller's.

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "sample/params.h"

namespace mirage::sample {

struct TokenLogprob {
  int32_t token;
  float logprob;  // natural log of the softmax of the unmodified logits
};

struct Choice {
  int32_t token = -1;
  float logprob = 0;
  std::vector<TokenLogprob> top;  // the `logprobs` most likely, best first, lowest id first on ties
};

// Where in its request and sequence a token is drawn.
struct DrawContext {
  std::span<const int32_t> history;  // prompt and output so far
  size_t output_begin = 0;           // history[output_begin..] is output
  int64_t position = 0;              // absolute position of the token drawn
  uint32_t sample_index = 0;
  int logprobs = 0;
};

class Sampler {
 public:
  // Fails with kInvalidArgument naming the parameter that is out of its range (NaN included) or the biased token
  // that is not below `vocabulary`.
  [[nodiscard]] static Result<Sampler> Create(Params params, int32_t vocabulary);

  // `logits` [vocabulary] may be overwritten. Fails with kInvalidArgument when every token is forbidden or a logit is
  // NaN.
  [[nodiscard]] Result<Choice> Sample(std::span<float> logits, const DrawContext& context) const;

  [[nodiscard]] const Params& params() const { return params_; }

 private:
  explicit Sampler(Params params) : params_(std::move(params)) {}
  Params params_;
};

}  // namespace mirage::sample
