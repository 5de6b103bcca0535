// SPDX-License-Identifier: Apache-2.0
#pragma once

// The draw: one uniform number and the token it falls on.
//
// A candidate is a token that may still be chosen, with its logit. The draw walks the candidates in
// ascending id, so that which candidates were found first cannot change the answer.

#include <cstdint>
#include <vector>

namespace mirage::sample {

struct Candidate {
  int32_t token;
  float logit;
};

// Higher logit first, lower id first on ties: the one order every truncation uses.
[[nodiscard]] inline bool Before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// The tokens that may still be drawn, at least one, and the temperature reached so far: their
// distribution is softmax(logit / temperature). Logits are never divided, so that a temperature in
// the middle of the order rounds nothing.
struct Remaining {
  std::vector<Candidate> candidates;
  double temperature = 1;
  std::vector<double> weights;  // room for those of the candidates
};

// What a uniform number decides. Each has its own sequence of them.
enum class Purpose : uint32_t { kDraw = 0, kXtc = 1 };

// Uniform in [0, 1), 53 bits, a pure function of its arguments.
[[nodiscard]] double Uniform(uint64_t seed, uint32_t sample_index, int64_t position,
                             Purpose purpose = Purpose::kDraw);

[[nodiscard]] float HighestLogit(const std::vector<Candidate>& candidates);

// exp((logit - max) / temperature) of each candidate into `weights`, in double; the largest is
// exactly 1. Returns their sum in the candidates' order.
double ComputeWeights(Remaining& remaining);

struct Drawn {
  int32_t token;
  double probability;  // of the distribution it was drawn from
};

// The candidate at `uniform` of the distribution, by inverse CDF in id order. Sorts the candidates
// by id.
[[nodiscard]] Drawn Draw(Remaining& remaining, double uniform);

}  // namespace mirage::sample
