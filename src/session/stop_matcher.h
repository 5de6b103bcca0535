// SPDX-License-Identifier: Apache-2.0
#pragma once

// StopMatcher: finds the first stop string in text that arrives in pieces.
//
// Bytes that may turn out to be the beginning of a stop string are held back until that is decided,
// across pieces. Each stop string has a Knuth-Morris-Pratt automaton, so the work per byte depends
// on the number of stop strings only.
//
// One thread at a time. Copies are independent matchers in the same state.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage::session {

class StopMatcher {
 public:
  static constexpr size_t kMaxStrings = 64;
  static constexpr size_t kMaxBytes = 4096;  // of one string

  // Fails with kInvalidArgument for an empty string or beyond the bounds above.
  [[nodiscard]] static Result<StopMatcher> Create(const std::vector<std::string>& strings);

  // Takes the next piece and gives the text that is now certain to come before any stop string.
  // After a match the rest is dropped. When strings overlap, the one that ends first wins; of those
  // ending together, the longest.
  [[nodiscard]] std::string Push(std::string_view piece);
  // The end of the text: what was held back.
  [[nodiscard]] std::string Flush();

  [[nodiscard]] size_t held_bytes() const { return held_.size(); }
  [[nodiscard]] bool matched() const { return matched_; }
  [[nodiscard]] bool empty() const { return patterns_.empty(); }

 private:
  struct Pattern {
    std::string text;
    std::vector<uint16_t> failure;  // length of the longest proper border of each prefix
    size_t state = 0;               // how much of `text` the input ends with
  };
  static void Advance(Pattern& pattern, char c);

  std::vector<Pattern> patterns_;
  std::string held_;
  bool matched_ = false;
};

}  // namespace mirage::session
