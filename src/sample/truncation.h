// SPDX-License-Identifier: Apache-2.0
#pragma once

// Truncation: which tokens may still be drawn.
//
// Each rule keeps a subset of the candidates and never empties it. Probabilities are the softmax,
// in double and at temperature 1, over the candidates the rule is given: rules compose by
// renormalizing. Ties are broken by the lower id. Nothing sorts a whole vocabulary.

#include <cstddef>
#include <span>
#include <vector>

#include "sample/draw.h"

namespace mirage::sample {

// The `k` highest logits that are not -inf, best first. One pass; k much smaller than the
// vocabulary.
[[nodiscard]] std::vector<Candidate> HighestLogits(std::span<const float> logits, size_t k);

// Every token whose logit is not -inf, in id order.
[[nodiscard]] std::vector<Candidate> AllowedTokens(std::span<const float> logits);

// Locally typical sampling (arXiv 2202.00666): the candidates whose surprisal is nearest the
// entropy, the fewest whose probability passes p.
void KeepTypical(double p, std::vector<Candidate>& candidates);

// Nucleus sampling (arXiv 1904.09751): the most likely candidates, the fewest that reach p.
void KeepTopP(double p, std::vector<Candidate>& candidates);

// The candidates at least p times as likely as the likeliest (arXiv 2407.01082).
void KeepMinP(double p, std::vector<Candidate>& candidates);

}  // namespace mirage::sample
