// SPDX-License-Identifier: Apache-2.0
#pragma once

// LogitScan: one fast pass over a row of logits, after which the high ones are found by looking
// into few blocks.
//
// A view of the logits and of the highest of each block of kBlock; good until a logit changes.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sample/draw.h"

namespace mirage::sample {

class LogitScan {
 public:
  static constexpr size_t kBlock = 128;

  // `block_max` is the memory it works in. Everything relies on logits that compare, neither NaN
  // nor +inf: see comparable().
  LogitScan(std::span<const float> logits, std::vector<float>& block_max);

  // False when a logit is NaN or +inf; nothing below may be asked then.
  [[nodiscard]] bool comparable() const { return comparable_; }

  [[nodiscard]] std::span<const float> logits() const { return logits_; }
  // The highest logit; -inf when every token is forbidden.
  [[nodiscard]] float max() const { return max_; }
  // The lowest id among the highest logits, or -1 when every token is forbidden.
  [[nodiscard]] int32_t ArgMax() const;

  // The `k` highest logits that are not -inf, best first. k much smaller than the vocabulary.
  void Highest(size_t k, std::vector<Candidate>& best) const;
  // Those of at least `bar`, which is finite, in id order.
  void AtLeast(double bar, std::vector<Candidate>& candidates) const;
  // Every token whose logit is not -inf, in id order.
  void All(std::vector<Candidate>& candidates) const;

  // Of the logits that are not -inf.
  struct Moments {
    double mean = 0;
    double deviation = 0;  // the square root of the mean squared distance from the mean
  };
  [[nodiscard]] Moments ComputeMoments() const;
  // Sum of exp((logit - max) / temperature).
  [[nodiscard]] double SumWeights(double temperature) const;

 private:
  std::span<const float> logits_;
  std::span<const float> block_max_;
  float max_;
  bool comparable_;
};

}  // namespace mirage::sample
