// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sampler: one request's rule from logits to a token.
//
// The draw is by inverse CDF in id order with a counter-based generator keyed by (seed, sample
// index within the request, absolute position of the token drawn), so it depends on nothing else:
// not on batch mates, not on what was drawn before, not on how often the step was retried. What
// mirostat remembers is a value of the draw before, passed in and out.
//
// Const and re-entrant; a workspace is for one thread at a time.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bit_set.h"
#include "base/result.h"
#include "base/token_logprob.h"
#include "sample/params.h"
#include "sample/workspace.h"

namespace mirage::sample {

struct Choice {
  int32_t token = -1;
  float logprob = 0;              // set, as `top` is, only when the context asks for logprobs
  std::vector<TokenLogprob> top;  // the `logprobs` most likely, best first, lowest id first on ties
  std::optional<double> mirostat_mu;  // for the context of the next draw, where mirostat is on
};

// Where in its request and sequence a token is drawn.
struct DrawContext {
  std::span<const int32_t> history = {};  // prompt and output so far
  size_t output_begin = 0;                // history[output_begin..] is output
  int64_t position = 0;                   // absolute position of the token drawn
  uint32_t sample_index = 0;
  int logprobs = 0;  // how many of the likeliest tokens to report; 0: none, at no cost
  std::span<const int32_t> forbidden = {};  // tokens that may not come now (min_tokens)
  const BitSet* grammar = nullptr;          // the tokens that a grammar allows now; null: all
  std::optional<double> mirostat_mu = {};   // that of the draw before; nothing at the first
};

class Sampler {
 public:
  // Fails as CheckParams does.
  [[nodiscard]] static Result<Sampler> Create(Params params, int32_t vocabulary);

  // `logits` [vocabulary] may be overwritten. -inf forbids a token.
  // Fails with kInvalidArgument when every token is forbidden or a bias or penalty makes a logit
  // infinite, with kCorrupt (about the model's file) when the model's own is NaN or +inf.
  [[nodiscard]] Result<Choice> Sample(std::span<float> logits, const DrawContext& context,
                                      Workspace& workspace) const;

  [[nodiscard]] const Params& params() const { return params_; }

 private:
  Sampler(Params params, int32_t vocabulary)
      : params_(std::move(params)), vocabulary_(vocabulary) {}
  Params params_;
  int32_t vocabulary_;
};

}  // namespace mirage::sample
