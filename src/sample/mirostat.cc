// SPDX-License-Identifier: Apache-2.0

#include "sample/mirostat.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "sample/truncation.h"

namespace mirage::sample {
namespace {

constexpr size_t kFittedTokens = 100;

// The least-squares slope of log p against log rank, its sign turned: the exponent of Zipf's law.
double FitZipfExponent(const std::vector<Candidate>& best, double temperature) {
  double products = 0;
  double squares = 0;
  for (size_t i = 0; i + 1 < best.size(); ++i) {
    const double rank_step = std::log(static_cast<double>(i + 2) / static_cast<double>(i + 1));
    const double fall = (double{best[i].logit} - best[i + 1].logit) / temperature;
    products += rank_step * fall;
    squares += rank_step * rank_step;
  }
  return squares > 0 ? products / squares : 0;
}

// How many of `vocabulary` tokens under Zipf's law have a surprise of mu bits: the paper's (29),
// k = (e 2^mu / (1 - N^-e))^(1 / s) with e = s - 1. Without a slope it is k = 2^mu.
double TokensOfSurprise(double exponent, double mu, double vocabulary) {
  constexpr double kFlat = 1e-6;
  constexpr double kSteep = 1e6;  // one token has it all
  if (exponent < kFlat) return std::exp2(mu);
  if (exponent > kSteep) return 1;
  const double excess = exponent - 1;
  const double log_vocabulary = std::log(vocabulary);
  // The limit for an excess of 0 is 1 / log N.
  const double ratio = std::abs(excess) < kFlat ? 1 / log_vocabulary
                                                : excess / -std::expm1(-excess * log_vocabulary);
  return std::exp((std::log(ratio) + mu * std::numbers::ln2) / exponent);
}

}  // namespace

double FirstMu(const Params& params) { return 2 * double{params.mirostat_tau}; }

void KeepMirostat(const Params& params, double mu, const LogitScan& scan, Workspace& workspace) {
  Remaining& remaining = workspace.remaining;
  const double temperature = remaining.temperature;
  if (params.mirostat == 2) {
    // -log2(exp((logit - max) / T) / sum) <= mu, solved for the logit; mu may be negative.
    const double log_sum = std::log(scan.SumWeights(temperature));
    const double bar = scan.max() + temperature * (log_sum - mu * std::numbers::ln2);
    scan.AtLeast(std::min(bar, double{scan.max()}), remaining.candidates);
    if (bar > scan.max()) KeepTopK(1, remaining);
    return;
  }
  const auto vocabulary = static_cast<double>(scan.logits().size());
  scan.Highest(kFittedTokens, workspace.best);
  const double tokens =
      TokensOfSurprise(FitZipfExponent(workspace.best, temperature), mu, vocabulary);
  const auto k = static_cast<size_t>(std::clamp(std::floor(tokens), 1.0, vocabulary));
  if (k <= kFittedTokens) {
    remaining.candidates.assign(
        workspace.best.begin(),
        workspace.best.begin() + static_cast<ptrdiff_t>(std::min(k, workspace.best.size())));
  } else {
    scan.All(remaining.candidates);
    KeepTopK(k, remaining);
  }
}

double NextMu(const Params& params, double mu, double probability) {
  const double surprise = -std::log2(probability);
  return mu - double{params.mirostat_eta} * (surprise - params.mirostat_tau);
}

}  // namespace mirage::sample
