// SPDX-License-Identifier: Apache-2.0

#include "sample/draw.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sample/philox.h"

namespace mirage::sample {

double Uniform(uint64_t seed, uint32_t sample_index, int64_t position) {
  const uint64_t at = static_cast<uint64_t>(position);
  const PhiloxCounter bits =
      Philox4x32({static_cast<uint32_t>(at), static_cast<uint32_t>(at >> 32), sample_index, 0},
                 {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const uint64_t word = (uint64_t{bits[1]} << 32) | bits[0];
  return static_cast<double>(word >> 11) * 0x1p-53;
}

std::vector<double> Weights(std::span<const Candidate> candidates, float temperature) {
  float max = candidates.front().logit;
  for (const Candidate& candidate : candidates) max = std::max(max, candidate.logit);
  std::vector<double> weights(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i)
    weights[i] = std::exp((double{candidates[i].logit} - max) / temperature);
  return weights;
}

int32_t Draw(std::vector<Candidate>& candidates, float temperature, double uniform) {
  const auto by_id = [](const Candidate& a, const Candidate& b) { return a.token < b.token; };
  // Without truncation the candidates are in id order already, and are many.
  if (!std::is_sorted(candidates.begin(), candidates.end(), by_id))
    std::sort(candidates.begin(), candidates.end(), by_id);
  const std::vector<double> weights = Weights(candidates, temperature);
  const double target = uniform * std::accumulate(weights.begin(), weights.end(), 0.0);
  double cumulative = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    cumulative += weights[i];
    if (cumulative > target) return candidates[i].token;
  }
  // uniform < 1 and the sums are the same chain, so only rounding of the product leads here.
  size_t last = candidates.size() - 1;
  while (weights[last] == 0) --last;
  return candidates[last].token;
}

}  // namespace mirage::sample
