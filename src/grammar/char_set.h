// SPDX-License-Identifier: Apache-2.0
#pragma once

// CharSet: a set of code points as sorted, disjoint ranges. Surrogates are in no set.
//
// A value; not shared between threads while it is changed.

#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

namespace mirage::grammar {

constexpr char32_t kMaxCodePoint = 0x10FFFF;

struct CharRange {
  char32_t low, high;  // both in it
  bool operator==(const CharRange&) const = default;
};

class CharSet {
 public:
  CharSet() = default;
  CharSet(std::initializer_list<CharRange> ranges) {
    for (const CharRange& range : ranges) Add(range.low, range.high);
  }
  [[nodiscard]] static CharSet Any() { return CharSet{{0, kMaxCodePoint}}; }

  // Adds what lies between low and high, surrogates left out.
  void Add(char32_t low, char32_t high);
  void Add(const CharSet& other);
  [[nodiscard]] CharSet Complement() const;

  [[nodiscard]] const std::vector<CharRange>& ranges() const& { return ranges_; }
  // Of a temporary: a loop over them outlives it.
  [[nodiscard]] std::vector<CharRange> ranges() && { return std::move(ranges_); }
  [[nodiscard]] bool empty() const { return ranges_.empty(); }

 private:
  void Insert(char32_t low, char32_t high);
  std::vector<CharRange> ranges_;
};

}  // namespace mirage::grammar
