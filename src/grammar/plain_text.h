// SPDX-License-Identifier: Apache-2.0
#pragma once

// Plain text: up to kMostPlainBytes of whole code points, none of them a control character, a
// quotation mark or a backslash.
//
// Most tokens of a vocabulary are plain, and where a grammar has free text, as in strings of JSON,
// it takes all of them: that is seen by looking at kinds of bytes instead of at tokens.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mirage::grammar {

inline constexpr size_t kMostPlainBytes = 32;

// The bytes of UTF-8 as they may follow each other, by what is missing of a code point.
struct PlainStep {
  uint8_t from, low, high, to;  // 0: between code points
};
inline constexpr uint8_t kPlainStates = 8;
inline constexpr PlainStep kPlainSteps[] = {
    {0, 0x20, 0x21, 0}, {0, 0x23, 0x5B, 0}, {0, 0x5D, 0x7E, 0}, {0, 0xC2, 0xDF, 1},
    {0, 0xE0, 0xE0, 3}, {0, 0xE1, 0xEC, 2}, {0, 0xED, 0xED, 4}, {0, 0xEE, 0xEF, 2},
    {0, 0xF0, 0xF0, 6}, {0, 0xF1, 0xF3, 5}, {0, 0xF4, 0xF4, 7}, {1, 0x80, 0xBF, 0},
    {2, 0x80, 0xBF, 1}, {3, 0xA0, 0xBF, 1}, {4, 0x80, 0x9F, 1}, {5, 0x80, 0xBF, 2},
    {6, 0x90, 0xBF, 2}, {7, 0x80, 0x8F, 2},
};

[[nodiscard]] inline bool IsPlain(std::string_view text) {
  uint8_t state = 0;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    uint8_t next = kPlainStates;
    for (const PlainStep& step : kPlainSteps)
      if (step.from == state && byte >= step.low && byte <= step.high) next = step.to;
    if (next == kPlainStates) return false;
    state = next;
  }
  return state == 0 && text.size() <= kMostPlainBytes;
}

}  // namespace mirage::grammar
