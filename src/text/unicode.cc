// SPDX-License-Identifier: Apache-2.0
#include "text/unicode.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace mirage::text {
namespace {

// Code points first, first + stride, ... last lower by adding delta.
struct LowerRun {
  uint32_t first, last;
  int32_t delta;
  uint32_t stride;
};
// kDecomposed[offset .. offset + count) is what the code point decomposes to.
struct Decomposition {
  uint32_t code_point;
  uint16_t offset, count;
};
// What a starter and what follows it compose to.
struct Composition {
  uint32_t first, second, composed;
};
// Code points whose canonical combining class is not 0.
struct CombiningRun {
  uint32_t first, last;
  uint8_t combining_class;
};
// Code points whose category BERT's tokenizers take from Unicode 8.0.
struct BertRun {
  uint32_t first, last;
  Category category;
};

#include "text/unicode_tables.inc"

template <typename Run, size_t n>
const Run* FindRun(const Run (&runs)[n], char32_t code_point) {
  const Run* run = std::lower_bound(std::begin(runs), std::end(runs), code_point,
                                    [](const Run& r, char32_t cp) { return r.last < cp; });
  return run != std::end(runs) && run->first <= code_point ? run : nullptr;
}

uint8_t CombiningClass(char32_t code_point) {
  if (code_point < 0x300) return 0;
  const CombiningRun* run = FindRun(kCombiningRuns, code_point);
  return run ? run->combining_class : 0;
}

// Hangul syllables decompose by arithmetic (The Unicode Standard, section 3.12).
constexpr char32_t kHangulSyllables = 0xAC00, kHangulCount = 11172;
constexpr char32_t kLeading = 0x1100, kVowels = 0x1161, kTrailing = 0x11A7;
constexpr char32_t kLeadingCount = 19, kVowelCount = 21, kTrailingCount = 28;

void AppendDecomposed(char32_t code_point, std::u32string* out) {
  if (code_point < 0xC0) {
    out->push_back(code_point);
    return;
  }
  if (code_point >= kHangulSyllables && code_point < kHangulSyllables + kHangulCount) {
    const char32_t index = code_point - kHangulSyllables;
    out->push_back(kLeading + index / (kVowelCount * kTrailingCount));
    out->push_back(kVowels + index % (kVowelCount * kTrailingCount) / kTrailingCount);
    if (index % kTrailingCount != 0) out->push_back(kTrailing + index % kTrailingCount);
    return;
  }
  const Decomposition* found =
      std::lower_bound(std::begin(kDecompositions), std::end(kDecompositions), code_point,
                       [](const Decomposition& d, char32_t cp) { return d.code_point < cp; });
  if (found == std::end(kDecompositions) || found->code_point != code_point)
    out->push_back(code_point);
  else
    out->append(kDecomposed + found->offset, found->count);
}

// 0 where they do not compose.
char32_t Composed(char32_t first, char32_t second) {
  if (first - kLeading < kLeadingCount && second - kVowels < kVowelCount)
    return kHangulSyllables +
           ((first - kLeading) * kVowelCount + second - kVowels) * kTrailingCount;
  const char32_t syllable = first - kHangulSyllables;
  if (syllable < kHangulCount && syllable % kTrailingCount == 0 && second > kTrailing &&
      second < kTrailing + kTrailingCount)
    return first + second - kTrailing;
  const auto* found =
      std::lower_bound(std::begin(kCompositions), std::end(kCompositions), std::pair(first, second),
                       [](const Composition& c, const std::pair<char32_t, char32_t>& wanted) {
                         return std::pair<char32_t, char32_t>(c.first, c.second) < wanted;
                       });
  const bool known =
      found != std::end(kCompositions) && found->first == first && found->second == second;
  return known ? found->composed : 0;
}

// The Unicode Standard, section 3.11, D117: a character composes with the last starter unless one
// between them, of its own class or a higher one, blocks it.
void Compose(std::u32string* decomposed) {
  std::u32string& text = *decomposed;
  size_t kept = 0;
  std::optional<size_t> starter;
  uint8_t previous_class = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t code_point = text[i];
    const uint8_t combining_class = CombiningClass(code_point);
    const bool adjacent = starter && *starter + 1 == kept;
    if (starter && (adjacent || previous_class < combining_class)) {
      if (const char32_t composed = Composed(text[*starter], code_point)) {
        text[*starter] = composed;
        continue;
      }
    }
    if (combining_class == 0) starter = kept;
    previous_class = combining_class;
    text[kept++] = code_point;
  }
  text.resize(kept);
}

bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

Properties PropertiesOf(char32_t code_point) {
  constexpr char32_t kInBlock = (1u << kBlockShift) - 1;
  if (code_point > 0x10FFFF) return Properties(0);
  const size_t block = kPropertyBlock[code_point >> kBlockShift];
  return Properties(kProperties[(block << kBlockShift) + (code_point & kInBlock)]);
}

Category BertCategory(char32_t code_point) {
  const BertRun* run = code_point < 0x80 ? nullptr : FindRun(kBertRuns, code_point);
  return run ? run->category : PropertiesOf(code_point).category();
}

char32_t DecodeUtf8(std::string_view text, size_t* at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[*at + i]); };
  const unsigned char lead = byte(0);
  char32_t code_point = lead;
  size_t bytes = 1;
  if (lead >= 0xF0) {
    code_point = (lead & 7u) << 18 | (byte(1) & 63u) << 12 | (byte(2) & 63u) << 6 | (byte(3) & 63u);
    bytes = 4;
  } else if (lead >= 0xE0) {
    code_point = (lead & 15u) << 12 | (byte(1) & 63u) << 6 | (byte(2) & 63u);
    bytes = 3;
  } else if (lead >= 0xC0) {
    code_point = (lead & 31u) << 6 | (byte(1) & 63u);
    bytes = 2;
  }
  *at += bytes;
  return code_point;
}

size_t PreviousUtf8(std::string_view text, size_t end) {
  do {
    --end;
  } while (end > 0 && IsContinuation(text[end]));
  return end;
}

void AppendUtf8(char32_t code_point, std::string* out) {
  const auto put = [&](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 63));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 63));
    put(0x80 | (code_point & 63));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 63));
    put(0x80 | (code_point >> 6 & 63));
    put(0x80 | (code_point & 63));
  }
}

Utf8Prefix InspectUtf8(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {Utf8Prefix::kWhole, 1};
  const size_t bytes = Utf8Length(text[0]);
  if (bytes == 1) return {Utf8Prefix::kIllFormed, 1};
  // The second byte's range shuts out overlong forms, surrogates and what lies past U+10FFFF.
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < bytes; ++i) {
    if (i == text.size()) return {Utf8Prefix::kIncomplete, i};
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool fits = i == 1 ? byte >= low && byte <= high : IsContinuation(text[i]);
    if (!fits) return {Utf8Prefix::kIllFormed, i};
  }
  return {Utf8Prefix::kWhole, bytes};
}

std::optional<std::string> RepairUtf8(std::string_view text) {
  std::optional<std::string> repaired;
  for (size_t at = 0; at < text.size();) {
    const Utf8Prefix prefix = InspectUtf8(text.substr(at));
    if (prefix.kind != Utf8Prefix::kWhole && !repaired) repaired.emplace(text.substr(0, at));
    if (repaired)
      repaired->append(prefix.kind == Utf8Prefix::kWhole ? text.substr(at, prefix.bytes)
                                                         : kReplacementUtf8);
    at += prefix.bytes;
  }
  return repaired;
}

void AppendLower(char32_t code_point, std::u32string* out) {
  constexpr char32_t kCapitalIWithDot = 0x130;
  if (code_point == kCapitalIWithDot) {
    out->append(U"i\u0307");
    return;
  }
  const LowerRun* run = FindRun(kLowerRuns, code_point);
  if (run && (code_point - run->first) % run->stride == 0)
    code_point = static_cast<char32_t>(static_cast<int32_t>(code_point) + run->delta);
  out->push_back(code_point);
}

std::u32string Decompose(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (const char32_t code_point : text) AppendDecomposed(code_point, &out);
  // Marks between two starters go into the order of their combining classes.
  for (size_t begin = 0; begin < out.size();) {
    if (CombiningClass(out[begin]) == 0) {
      ++begin;
      continue;
    }
    size_t end = begin + 1;
    while (end < out.size() && CombiningClass(out[end]) != 0) ++end;
    std::stable_sort(out.begin() + static_cast<ptrdiff_t>(begin),
                     out.begin() + static_cast<ptrdiff_t>(end),
                     [](char32_t a, char32_t b) { return CombiningClass(a) < CombiningClass(b); });
    begin = end;
  }
  return out;
}

std::optional<std::string> ComposeUtf8(std::string_view text) {
  // Nothing below U+0300 composes with what is before it, or is decomposed and left so.
  constexpr char kFirstLead = '\xCC';
  const auto leads_more = [](char byte) {
    return static_cast<unsigned char>(byte) >= static_cast<unsigned char>(kFirstLead);
  };
  if (std::none_of(text.begin(), text.end(), leads_more)) return std::nullopt;
  std::u32string code_points;
  code_points.reserve(text.size());
  for (size_t at = 0; at < text.size();) code_points.push_back(DecodeUtf8(text, &at));
  std::u32string composed = Decompose(code_points);
  Compose(&composed);
  if (composed == code_points) return std::nullopt;
  std::string out;
  out.reserve(text.size());
  for (const char32_t code_point : composed) AppendUtf8(code_point, &out);
  return out;
}

}  // namespace mirage::text
