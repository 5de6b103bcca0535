// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histogram: quantiles of any number of durations, to 1%, in little memory.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace mirage::sim {

class Histogram {
 public:
  void Add(int64_t ns) {
    const double above = std::log(static_cast<double>(std::max<int64_t>(ns, 1))) / kStep;
    const auto bucket = static_cast<size_t>(above);
    if (counts_.size() <= bucket) counts_.resize(bucket + 1, 0);
    ++counts_[bucket];
    ++count_;
  }
  [[nodiscard]] int64_t count() const { return count_; }
  // Seconds that a share of `p` of all does not exceed; 0 of none.
  [[nodiscard]] double Quantile(double p) const {
    const auto rank = static_cast<int64_t>(std::ceil(p * static_cast<double>(count_)));
    int64_t seen = 0;
    for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
      seen += counts_[bucket];
      if (seen >= std::max<int64_t>(rank, 1))
        return std::exp((static_cast<double>(bucket) + 0.5) * kStep) / 1e9;
    }
    return 0;
  }

 private:
  static constexpr double kStep = 0.01;
  std::vector<int64_t> counts_;
  int64_t count_ = 0;
};

}  // namespace mirage::sim
