// SPDX-License-Identifier: Apache-2.0

#include "sample/truncation.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace mirage::sample {
namespace {

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

void KeepTopK(size_t k, Remaining& remaining) {
  std::vector<Candidate>& candidates = remaining.candidates;
  if (k >= candidates.size()) return;
  std::nth_element(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(k),
                   candidates.end(), Before);
  candidates.resize(k);
}

void KeepTypical(double p, Remaining& remaining) {
  struct Surprise {
    double distance;  // of the surprisal from the entropy
    double probability;
    Candidate candidate;
  };
  const double total = ComputeWeights(remaining);
  double entropy = 0;
  for (const double weight : remaining.weights)
    if (weight > 0) entropy -= weight / total * std::log(weight / total);

  std::vector<Candidate>& candidates = remaining.candidates;
  std::vector<Surprise> surprises(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    const double probability = remaining.weights[i] / total;
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

void KeepTopP(double p, Remaining& remaining) {
  const double needed = p * ComputeWeights(remaining);
  const double max = HighestLogit(remaining.candidates);
  KeepFewest(
      remaining.candidates, Before,
      [&](const Candidate& candidate) {
        return std::exp((double{candidate.logit} - max) / remaining.temperature);
      },
      [&](double sum) { return sum >= needed; });
}

double MinPBar(double p, double max, double temperature) { return max + std::log(p) * temperature; }

void KeepMinP(double p, Remaining& remaining) {
  if (p <= 0) return;
  const double bar = MinPBar(p, HighestLogit(remaining.candidates), remaining.temperature);
  std::erase_if(remaining.candidates,
                [&](const Candidate& candidate) { return candidate.logit < bar; });
}

void KeepTopNSigma(double n, Remaining& remaining) {
  std::vector<Candidate>& candidates = remaining.candidates;
  const double count = static_cast<double>(candidates.size());
  double mean = 0;
  for (const Candidate& candidate : candidates) mean += candidate.logit / count;
  double squares = 0;
  for (const Candidate& candidate : candidates)
    squares += (candidate.logit - mean) * (candidate.logit - mean);
  const double bar = HighestLogit(candidates) - n * std::sqrt(squares / count);
  std::erase_if(candidates, [&](const Candidate& candidate) { return candidate.logit < bar; });
}

}  // namespace mirage::sample
