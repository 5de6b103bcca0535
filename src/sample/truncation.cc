// SPDX-License-Identifier: Apache-2.0

#include "sample/truncation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace mirage::sample {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

// How many items the search below tries first; a peaked distribution needs no more.
constexpr size_t kFirstPrefix = 128;

// Cuts `items` to the fewest, in the order of `before`, whose summed mass is `enough`; to all of
// them when none is. Gallops to a prefix that is enough, then halves it: O(n) expected, nothing is
// sorted.
template <typename T, typename Less, typename Mass, typename Enough>
void KeepFewest(std::vector<T>& items, Less before, Mass mass, Enough enough) {
  size_t kept = 0;            // items[0..kept) are in and not enough
  size_t end = items.size();  // items[0..end) are enough, or all
  double kept_mass = 0;
  size_t step = kFirstPrefix;
  bool galloping = true;
  while (end - kept > 1 || galloping) {
    const size_t middle = std::min(kept + step, end);
    const auto at = [&](size_t i) { return items.begin() + static_cast<ptrdiff_t>(i); };
    if (middle < end) std::nth_element(at(kept), at(middle), at(end), before);
    double sum = kept_mass;
    for (size_t i = kept; i < middle; ++i) sum += mass(items[i]);
    if (enough(sum) || middle == items.size()) {
      end = middle;
      galloping = false;
    } else {
      kept = middle;
      kept_mass = sum;
    }
    step = galloping ? 16 * step : std::max<size_t>(1, (end - kept) / 2);
  }
  items.resize(end);
}

}  // namespace

std::vector<Candidate> HighestLogits(std::span<const float> logits, size_t k) {
  if (k >= logits.size()) {
    std::vector<Candidate> all = AllowedTokens(logits);
    std::sort(all.begin(), all.end(), Before);
    return all;
  }
  std::vector<Candidate> best;
  if (k == 0) return best;
  // A buffer of a few times k: when it is full the lower part is dropped, and its k-th becomes the
  // bar. Each drop frees at least as many slots as it keeps, so the pass is linear in any order.
  const size_t slots = std::max<size_t>(4 * k, 256);
  best.reserve(std::min(slots, logits.size()));
  float bar = kForbidden;
  const auto keep_best = [&] {
    if (best.size() <= k) return;
    std::nth_element(best.begin(), best.begin() + static_cast<ptrdiff_t>(k - 1), best.end(),
                     Before);
    best.resize(k);
    bar = best.back().logit;
  };
  for (size_t i = 0; i < logits.size(); ++i) {
    // A tie with the bar loses: the k held already have lower ids.
    if (!(logits[i] > bar)) continue;
    best.push_back({static_cast<int32_t>(i), logits[i]});
    if (best.size() == slots) keep_best();
  }
  keep_best();
  std::sort(best.begin(), best.end(), Before);
  return best;
}

std::vector<Candidate> AllowedTokens(std::span<const float> logits) {
  std::vector<Candidate> allowed;
  allowed.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] != kForbidden) allowed.push_back({static_cast<int32_t>(i), logits[i]});
  return allowed;
}

void KeepTypical(double p, std::vector<Candidate>& candidates) {
  struct Surprise {
    double distance;  // of the surprisal from the entropy
    double probability;
    Candidate candidate;
  };
  const std::vector<double> weights = Weights(candidates);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  double entropy = 0;
  for (const double weight : weights)
    if (weight > 0) entropy -= weight / total * std::log(weight / total);

  std::vector<Surprise> surprises(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    const double probability = weights[i] / total;
    surprises[i] = {std::abs(-std::log(probability) - entropy), probability, candidates[i]};
  }
  const auto nearest = [](const Surprise& a, const Surprise& b) {
    return a.distance != b.distance ? a.distance < b.distance : Before(a.candidate, b.candidate);
  };
  KeepFewest(
      surprises, nearest, [](const Surprise& surprise) { return surprise.probability; },
      [&](double sum) { return sum > p; });
  candidates.clear();
  for (const Surprise& surprise : surprises) candidates.push_back(surprise.candidate);
}

void KeepTopP(double p, std::vector<Candidate>& candidates) {
  const std::vector<double> weights = Weights(candidates);
  const double needed = p * std::accumulate(weights.begin(), weights.end(), 0.0);
  const float max = std::min_element(candidates.begin(), candidates.end(), Before)->logit;
  KeepFewest(
      candidates, Before,
      [&](const Candidate& candidate) { return std::exp(double{candidate.logit} - max); },
      [&](double sum) { return sum >= needed; });
}

void KeepMinP(double p, std::vector<Candidate>& candidates) {
  if (p <= 0) return;
  const float max = std::min_element(candidates.begin(), candidates.end(), Before)->logit;
  const double bar = max + std::log(p);
  std::erase_if(candidates, [&](const Candidate& candidate) { return candidate.logit < bar; });
}

}  // namespace mirage::sample
