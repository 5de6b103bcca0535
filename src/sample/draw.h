// SPDX-License-Identifier: Apache-2.0
#pragma once

// The draw: one uniform number and the token it falls on.
//
// A candidate is a token that may still be chosen, with its logit. The draw walks the candidates in
// ascending id, so that which candidates were found first cannot change the answer.

#include <cstdint>
#include <span>
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

// Uniform in [0, 1), 53 bits, a pure function of its arguments.
[[nodiscard]] double Uniform(uint64_t seed, uint32_t sample_index, int64_t position);

// exp((logit - max) / temperature) of each candidate, in double; the largest is exactly 1.
[[nodiscard]] std::vector<double> Weights(std::span<const Candidate> candidates,
                                          float temperature = 1.0f);

// The candidate at `uniform` of the distribution softmax(logit / temperature), by inverse CDF in id
// order. Sorts `candidates` by id. There is at least one candidate, and temperature > 0.
[[nodiscard]] int32_t Draw(std::vector<Candidate>& candidates, float temperature, double uniform);

}  // namespace mirage::sample
