// SPDX-License-Identifier: Apache-2.0
#include "grammar/char_set.h"

#include <algorithm>

namespace mirage::grammar {
namespace {

constexpr char32_t kFirstSurrogate = 0xD800;
constexpr char32_t kLastSurrogate = 0xDFFF;

}  // namespace

void CharSet::Add(char32_t low, char32_t high) {
  high = std::min(high, kMaxCodePoint);
  if (low < kFirstSurrogate) Insert(low, std::min(high, char32_t{kFirstSurrogate - 1}));
  if (high > kLastSurrogate) Insert(std::max(low, char32_t{kLastSurrogate + 1}), high);
}

void CharSet::Add(const CharSet& other) {
  for (const CharRange& range : other.ranges_) Insert(range.low, range.high);
}

void CharSet::Insert(char32_t low, char32_t high) {
  if (low > high) return;
  // The ranges that touch [low, high] become one with it.
  auto first = std::lower_bound(
      ranges_.begin(), ranges_.end(), low,
      [](const CharRange& range, char32_t value) { return range.high + 1 < value; });
  auto last = first;
  while (last != ranges_.end() && last->low <= high + 1) {
    low = std::min(low, last->low);
    high = std::max(high, last->high);
    ++last;
  }
  first = ranges_.erase(first, last);
  ranges_.insert(first, {low, high});
}

CharSet CharSet::Complement() const {
  CharSet out;
  char32_t next = 0;
  for (const CharRange& range : ranges_) {
    if (range.low > next) out.Add(next, range.low - 1);
    next = range.high + 1;
  }
  if (next <= kMaxCodePoint) out.Add(next, kMaxCodePoint);
  return out;
}

}  // namespace mirage::grammar
