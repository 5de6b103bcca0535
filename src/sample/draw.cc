// SPDX-License-Identifier: Apache-2.0

#include "sample/draw.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sample/philox.h"

namespace mirage::sample {

double Uniform(uint64_t seed, uint32_t sample_index, int64_t position, Purpose purpose) {
  const uint64_t at = static_cast<uint64_t>(position);
  const PhiloxCounter bits =
      Philox4x32({static_cast<uint32_t>(at), static_cast<uint32_t>(at >> 32), sample_index,
                  static_cast<uint32_t>(purpose)},
                 {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const uint64_t word = (uint64_t{bits[1]} << 32) | bits[0];
  return static_cast<double>(word >> 11) * 0x1p-53;
}

float HighestLogit(const std::vector<Candidate>& candidates) {
  float max = candidates.front().logit;
  for (const Candidate& candidate : candidates) max = std::max(max, candidate.logit);
  return max;
}

double ComputeWeights(Remaining& remaining) {
  const std::vector<Candidate>& candidates = remaining.candidates;
  const double max = HighestLogit(candidates);
  remaining.weights.resize(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i)
    remaining.weights[i] = std::exp((double{candidates[i].logit} - max) / remaining.temperature);
  return std::accumulate(remaining.weights.begin(), remaining.weights.end(), 0.0);
}

Drawn Draw(Remaining& remaining, double uniform) {
  std::vector<Candidate>& candidates = remaining.candidates;
  const auto by_id = [](const Candidate& a, const Candidate& b) { return a.token < b.token; };
  // Without truncation the candidates are in id order already, and are many.
  if (!std::is_sorted(candidates.begin(), candidates.end(), by_id))
    std::sort(candidates.begin(), candidates.end(), by_id);
  const double total = ComputeWeights(remaining);
  const std::vector<double>& weights = remaining.weights;
  const double target = uniform * total;
  double cumulative = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    cumulative += weights[i];
    if (cumulative > target) return {candidates[i].token, weights[i] / total};
  }
  // uniform < 1 and the sums are the same chain, so only rounding of the product leads here.
  size_t last = candidates.size() - 1;
  while (weights[last] == 0) --last;
  return {candidates[last].token, weights[last] / total};
}

}  // namespace mirage::sample
