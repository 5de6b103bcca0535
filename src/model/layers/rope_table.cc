// SPDX-License-Identifier: Apache-2.0
#include "model/layers/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mirage::model {

namespace {

// YaRN (arXiv 2309.00071, section 3.2): the dimension whose wavelength makes `rotations` turns over
// the original context.
double YarnCorrectionDim(const RopeConfig& rope, double rotations) {
  return rope.rotary * std::log(rope.original_context / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(static_cast<double>(rope.base)));
}

}  // namespace

std::vector<double> RopeFrequencies(const RopeConfig& rope) {
  const int32_t pairs = rope.rotary / 2;
  std::vector<double> frequencies(static_cast<size_t>(pairs));
  double low = 0;
  double high = 0;
  if (rope.scaling == RopeScaling::kYarn) {
    low = std::max(0.0, std::floor(YarnCorrectionDim(rope, rope.beta_fast)));
    high = std::min(rope.rotary - 1.0, std::ceil(YarnCorrectionDim(rope, rope.beta_slow)));
    if (high <= low) high = low + 0.001;  // the ramp's own guard against a zero width
  }
  for (int32_t i = 0; i < pairs; ++i) {
    // The frequency itself is a float in every reference implementation.
    double frequency =
        static_cast<float>(1.0 / std::pow(static_cast<double>(rope.base), 2.0 * i / rope.rotary));
    switch (rope.scaling) {
      case RopeScaling::kNone:
        break;
      case RopeScaling::kLinear:
        frequency /= rope.factor;
        break;
      case RopeScaling::kFactors:
        frequency /= rope.factors[i];
        break;
      case RopeScaling::kYarn: {
        const double ramp = 1.0 - std::clamp((i - low) / (high - low), 0.0, 1.0);
        const double kept = ramp * rope.extrapolation;
        frequency = frequency / rope.factor * (1.0 - kept) + frequency * kept;
        break;
      }
    }
    frequencies[i] = frequency;
  }
  return frequencies;
}

void FillRopeTable(const RopeConfig& rope, std::span<const double> frequencies,
                   std::span<const int64_t> positions, float* cos, float* sin) {
  for (const int64_t position : positions) {
    for (const double frequency : frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      *cos++ = static_cast<float>(std::cos(angle) * rope.magnitude);
      *sin++ = static_cast<float>(std::sin(angle) * rope.magnitude);
    }
  }
}

}  // namespace mirage::model
