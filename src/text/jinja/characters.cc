// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/characters.h"

#include <algorithm>
#include <iterator>

namespace mirage::text::jinja {
namespace {

struct Run {
  uint32_t first, last, stride;
};
struct Shift {
  uint32_t first, last, stride;
  int32_t delta;
};
struct Expansion {
  uint32_t from;
  uint32_t to[3];
};

#include "text/jinja/character_tables.inc"

// The run that holds `c` in a table sorted by `last`, or nullptr.
template <typename Row, size_t kRows>
const Row* FindRun(const Row (&rows)[kRows], uint32_t c) {
  const Row* row = std::lower_bound(std::begin(rows), std::end(rows), c,
                                    [](const Row& r, uint32_t value) { return r.last < value; });
  if (row == std::end(rows) || c < row->first || (c - row->first) % row->stride != 0) {
    return nullptr;
  }
  return row;
}

template <size_t kRows>
const Expansion* FindExpansion(const Expansion (&rows)[kRows], uint32_t c) {
  const Expansion* row =
      std::lower_bound(std::begin(rows), std::end(rows), c,
                       [](const Expansion& r, uint32_t value) { return r.from < value; });
  return row != std::end(rows) && row->from == c ? row : nullptr;
}

CaseMapping One(uint32_t c) { return {{c, 0, 0}, 1}; }

CaseMapping Expand(const Expansion& row) {
  CaseMapping mapping;
  while (mapping.count < 3 && row.to[mapping.count] != 0) {
    mapping.points[mapping.count] = row.to[mapping.count];
    ++mapping.count;
  }
  return mapping;
}

template <size_t kShifts, size_t kExpansions>
CaseMapping Map(const Shift (&shifts)[kShifts], const Expansion (&expansions)[kExpansions],
                uint32_t c) {
  if (const Expansion* row = FindExpansion(expansions, c)) return Expand(*row);
  if (const Shift* shift = FindRun(shifts, c)) return One(c + shift->delta);
  return One(c);
}

}  // namespace

size_t FindInvalidUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Prefix prefix = InspectUtf8(text.substr(at));
    if (prefix.kind != Utf8Prefix::kWhole) return at;
    at += prefix.bytes;
  }
  return std::string_view::npos;
}

size_t CountCodePoints(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

CaseMapping ToLower(uint32_t c) {
  if (c < 0x80) return One(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return Map(kToLower, kExpandLower, c);
}

CaseMapping ToUpper(uint32_t c) {
  if (c < 0x80) return One(c >= 'a' && c <= 'z' ? c - 32 : c);
  return Map(kToUpper, kExpandUpper, c);
}

CaseMapping ToTitle(uint32_t c) {
  if (const Expansion* row = FindExpansion(kExpandTitle, c)) return Expand(*row);
  if (const Shift* shift = FindRun(kToTitle, c)) return One(c + shift->delta);
  return ToUpper(c);
}

bool IsSpace(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool IsLineBreak(uint32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool IsPrintable(uint32_t c) {
  if (c < 0x7F) return c >= 0x20;
  return FindRun(kUnprintable, c) == nullptr;
}
bool IsAlpha(uint32_t c) { return FindRun(kAlpha, c) != nullptr; }
bool IsDecimal(uint32_t c) { return FindRun(kDecimal, c) != nullptr; }
bool IsDigit(uint32_t c) { return FindRun(kDigit, c) != nullptr; }
bool IsNumeric(uint32_t c) { return FindRun(kNumeric, c) != nullptr; }
bool IsLower(uint32_t c) { return FindRun(kLower, c) != nullptr; }
bool IsUpper(uint32_t c) { return FindRun(kUpper, c) != nullptr; }
bool IsTitle(uint32_t c) { return FindRun(kTitle, c) != nullptr; }

}  // namespace mirage::text::jinja
