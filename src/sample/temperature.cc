// SPDX-License-Identifier: Apache-2.0

#include "sample/temperature.h"

#include <algorithm>
#include <cmath>

namespace mirage::sample {
namespace {

// 0 to 1: what the entropy is of the highest that so many candidates can have.
double RelativeEntropy(Remaining& remaining) {
  if (remaining.candidates.size() < 2) return 0;
  const double total = ComputeWeights(remaining);
  double entropy = 0;
  for (const double weight : remaining.weights)
    if (weight > 0) entropy -= weight / total * std::log(weight / total);
  const double highest = std::log(static_cast<double>(remaining.candidates.size()));
  return std::clamp(entropy / highest, 0.0, 1.0);
}

}  // namespace

bool TakesLikeliest(const Params& params) {
  return double{params.temperature} + params.dynatemp_range <= 0;
}

double ChooseTemperature(const Params& params, Remaining& remaining) {
  if (params.dynatemp_range == 0) return params.temperature;
  const double low = std::max(0.0, double{params.temperature} - params.dynatemp_range);
  const double high = std::max(0.0, double{params.temperature} + params.dynatemp_range);
  return low + (high - low) * std::pow(RelativeEntropy(remaining), params.dynatemp_exponent);
}

}  // namespace mirage::sample
