// SPDX-License-Identifier: Apache-2.0
#pragma once

// Scales for a few elements that share one: those whose codes come nearest to the elements.
//
// The scale that just reaches the extremes wastes codes on them. Around it scales are tried; for
// the codes that each gives, the best scale (and minimum) follows by least squares, and the pair
// with the least error is taken. Errors of large elements count more, since they matter more to a
// product: by the root mean square plus the element's magnitude for affine codes, by its square for
// signed ones. Pure functions.

#include <algorithm>
#include <cmath>
#include <span>

namespace mirage::tensor {

struct AffineFit {
  float scale = 0;
  float min = 0;  // not negative: x is about scale * code - min
};

// Codes in [0, q_max]. The range always reaches 0.
inline AffineFit FitAffine(std::span<const float> x, int q_max) {
  constexpr int kTries = 20;
  constexpr float kStep = 0.1f;  // of a code
  const auto [least, most] = std::minmax_element(x.begin(), x.end());
  const float low = std::min(0.0f, *least);
  const float range = std::max(0.0f, *most) - low;
  const auto top = static_cast<float>(q_max);
  AffineFit best{range / top, -low};
  if (range == 0) return best;
  float square = 0;
  for (const float value : x) square += value * value;
  const float rms = std::sqrt(square / static_cast<float>(x.size()));
  float best_error = INFINITY;
  for (int i = 0; i <= kTries; ++i) {
    const float inverse = (top - 1 + kStep * static_cast<float>(i)) / range;
    const auto code = [&](float value) {
      return std::clamp(std::nearbyintf((value - low) * inverse), 0.0f, top);
    };
    float w = 0, wx = 0, wq = 0, wqq = 0, wxq = 0;
    for (const float value : x) {
      const float weight = rms + std::fabs(value);
      const float q = code(value);
      w += weight;
      wx += weight * value;
      wq += weight * q;
      wqq += weight * q * q;
      wxq += weight * value * q;
    }
    const float determinant = w * wqq - wq * wq;
    if (!(determinant > 0)) continue;
    AffineFit fit{(w * wxq - wx * wq) / determinant, -(wqq * wx - wq * wxq) / determinant};
    if (fit.min < 0) fit = {wxq / wqq, 0};
    float error = 0;
    for (const float value : x) {
      const float off = fit.scale * code(value) - fit.min - value;
      error += (rms + std::fabs(value)) * off * off;
    }
    if (error < best_error) {
      best_error = error;
      best = fit;
    }
  }
  return best;
}

// Codes in [q_least, -q_least - 1], `extreme` the element of greatest magnitude.
inline float FitSigned(std::span<const float> x, float extreme, int q_least) {
  constexpr int kTries = 9;      // to either side
  constexpr float kStep = 0.1f;  // of a code
  const auto bottom = static_cast<float>(q_least);
  float best = extreme / bottom;
  if (extreme == 0) return best;
  float best_gain = 0;
  for (int i = -kTries; i <= kTries; ++i) {
    const float inverse = (bottom + kStep * static_cast<float>(i)) / extreme;
    float wxq = 0, wqq = 0;
    for (const float value : x) {
      const float q = std::clamp(std::nearbyintf(value * inverse), bottom, -bottom - 1);
      wxq += value * value * value * q;
      wqq += value * value * q * q;
    }
    // The error left is that of all zeros less this.
    if (wqq > 0 && wxq * wxq > best_gain * wqq) {
      best_gain = wxq * wxq / wqq;
      best = wxq / wqq;
    }
  }
  return best;
}

}  // namespace mirage::tensor
