// SPDX-License-Identifier: Apache-2.0
#pragma once

// Truncation: which tokens may still be drawn.
//
// Each rule keeps a subset of the candidates and never empties it. Probabilities are those of the
// distribution the rule is given, in double: rules compose by renormalizing. Ties are broken by the
// lower id. Nothing sorts a whole vocabulary.

#include <cstddef>

#include "sample/draw.h"

namespace mirage::sample {

// The `k` likeliest candidates; k of at least 1.
void KeepTopK(size_t k, Remaining& remaining);

// Locally typical sampling (arXiv 2202.00666): the candidates whose surprisal is nearest the
// entropy, the fewest whose probability passes p.
void KeepTypical(double p, Remaining& remaining);

// Nucleus sampling (arXiv 1904.09751): the most likely candidates, the fewest that reach p.
void KeepTopP(double p, Remaining& remaining);

// The candidates at least p times as likely as the likeliest (arXiv 2407.01082).
void KeepMinP(double p, Remaining& remaining);
// The lowest logit that rule keeps. p > 0.
[[nodiscard]] double MinPBar(double p, double max, double temperature);

// Top-n-sigma (arXiv 2411.07641): the candidates whose logit is at most n standard deviations, of
// the candidates' logits, below the highest. A temperature before it changes nothing.
void KeepTopNSigma(double n, Remaining& remaining);

}  // namespace mirage::sample
