// SPDX-License-Identifier: Apache-2.0
#pragma once

// TokenSequences: a set of token sequences, looked up by how a text goes on.
//
// Constant after it was made, so any thread; shared by the requests that use the same set.

#include <cstdint>
#include <span>
#include <vector>

namespace mirage::sample {

class TokenSequences {
 public:
  explicit TokenSequences(std::vector<std::vector<int32_t>> sequences);

  // Sorted, without doubles.
  [[nodiscard]] std::span<const std::vector<int32_t>> all() const { return sequences_; }
  [[nodiscard]] size_t longest() const { return longest_; }  // tokens

  // How many tokens the longest sequence has with which `tokens` begins; 0 for none.
  [[nodiscard]] size_t LongestAtBeginning(std::span<const int32_t> tokens) const;
  // Whether `token` alone is a sequence of the set.
  [[nodiscard]] bool HasSingle(int32_t token) const;

 private:
  std::vector<std::vector<int32_t>> sequences_;
  size_t longest_ = 0;
};

}  // namespace mirage::sample
