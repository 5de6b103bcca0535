// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/text_ops.h"

#include <string.h>

#include <algorithm>

#include "text/jinja/characters.h"
#include "text/jinja/errors.h"

namespace mirage::text::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

void AppendMapped(const CaseMapping& mapping, Origin origin, TextBuilder* out) {
  for (int i = 0; i < mapping.count; ++i) out->AppendCodePoint(mapping.points[i], origin);
}

// Applies `map(code_point)` to each character.
template <typename Map>
Result<TextPtr> MapCharacters(Budget& budget, const Text& text, Map map) {
  TextBuilder out(budget);
  text.ForEachRun(0, text.size(), [&](size_t begin, size_t end, Origin origin) {
    for (size_t at = begin; at < end;) {
      AppendMapped(map(DecodeUtf8(text.bytes(), &at)), origin, &out);
    }
  });
  return out.Finish();
}

// The characters that Strip takes off: white space, or those of a string.
class StripSet {
 public:
  explicit StripSet(const Text* chars) : is_space_(chars == nullptr) {
    for (size_t at = 0; chars != nullptr && at < chars->size();) {
      points_.push_back(DecodeUtf8(chars->bytes(), &at));
    }
    std::sort(points_.begin(), points_.end());
  }

  bool Has(uint32_t c) const {
    return is_space_ ? IsSpace(c) : std::binary_search(points_.begin(), points_.end(), c);
  }

 private:
  bool is_space_;
  std::vector<uint32_t> points_;
};

size_t StripLeft(const Text& text, const StripSet& chars) {
  size_t begin = 0;
  while (begin < text.size()) {
    size_t next = begin;
    if (!chars.Has(DecodeUtf8(text.bytes(), &next))) break;
    begin = next;
  }
  return begin;
}

size_t StripRight(const Text& text, const StripSet& chars, size_t begin) {
  size_t end = text.size();
  while (end > begin) {
    const size_t previous = PreviousUtf8(text.bytes(), end);
    size_t at = previous;
    if (!chars.Has(DecodeUtf8(text.bytes(), &at))) break;
    end = previous;
  }
  return end;
}

// The parts that a text is cut into; each is charged as it is added.
class Parts {
 public:
  Parts(Budget& budget, const Text& text, int64_t max_splits)
      : budget_(budget), text_(text), max_splits_(max_splits) {}

  bool MayCut() const {
    return max_splits_ < 0 || static_cast<int64_t>(parts_.size()) < max_splits_;
  }

  Status Add(size_t begin, size_t end) {
    MIRAGE_TRY(budget_.Step());
    MIRAGE_TRY_ASSIGN(TextPtr part, Slice(budget_, text_, begin, end));
    parts_.push_back(std::move(part));
    return {};
  }

  std::vector<TextPtr> Take() { return std::move(parts_); }
  std::vector<TextPtr> TakeReversed() {
    std::reverse(parts_.begin(), parts_.end());
    return std::move(parts_);
  }

 private:
  Budget& budget_;
  const Text& text_;
  int64_t max_splits_;
  std::vector<TextPtr> parts_;
};

Status CutAt(std::string_view text, std::string_view separator, Parts* parts) {
  size_t begin = 0;
  while (parts->MayCut()) {
    const size_t at = FindBytes(text, separator, begin);
    if (at == kNone) break;
    MIRAGE_TRY(parts->Add(begin, at));
    begin = at + separator.size();
  }
  return parts->Add(begin, text.size());
}

Status CutAtFromRight(std::string_view text, std::string_view separator, Parts* parts) {
  size_t end = text.size();
  while (parts->MayCut() && end >= separator.size()) {
    const size_t at = text.rfind(separator, end - separator.size());
    if (at == kNone) break;
    MIRAGE_TRY(parts->Add(at + separator.size(), end));
    end = at;
  }
  return parts->Add(0, end);
}

size_t SkipWhile(std::string_view text, size_t at, bool space) {
  while (at < text.size()) {
    size_t next = at;
    if (IsSpace(DecodeUtf8(text, &next)) != space) break;
    at = next;
  }
  return at;
}

size_t SkipBackWhile(std::string_view text, size_t end, bool space) {
  while (end > 0) {
    const size_t previous = PreviousUtf8(text, end);
    size_t at = previous;
    if (IsSpace(DecodeUtf8(text, &at)) != space) break;
    end = previous;
  }
  return end;
}

// Words between runs of white space. What is left after the last cut keeps its far end's white
// space.
Status CutAtSpace(std::string_view text, Parts* parts) {
  size_t begin = SkipWhile(text, 0, true);
  while (begin < text.size()) {
    const size_t end = parts->MayCut() ? SkipWhile(text, begin, false) : text.size();
    MIRAGE_TRY(parts->Add(begin, end));
    begin = SkipWhile(text, end, true);
  }
  return {};
}

Status CutAtSpaceFromRight(std::string_view text, Parts* parts) {
  size_t end = SkipBackWhile(text, text.size(), true);
  while (end > 0) {
    const size_t begin = parts->MayCut() ? SkipBackWhile(text, end, false) : 0;
    MIRAGE_TRY(parts->Add(begin, end));
    end = SkipBackWhile(text, begin, true);
  }
  return {};
}

}  // namespace

size_t FindBytes(std::string_view text, std::string_view pattern, size_t from) {
  // memmem is linear; std::string_view::find takes the product of the lengths at worst.
  const void* found =
      memmem(text.data() + from, text.size() - from, pattern.data(), pattern.size());
  if (found == nullptr) return kNone;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

Result<TextPtr> ChangeCase(Budget& budget, const Text& text, Case to) {
  bool in_word = false;
  bool first = true;
  return MapCharacters(budget, text, [&](uint32_t c) {
    switch (to) {
      case Case::kLower:
        return ToLower(c);
      case Case::kUpper:
        return ToUpper(c);
      case Case::kCapitalize:
        return std::exchange(first, false) ? ToTitle(c) : ToLower(c);
      case Case::kTitle: {
        const bool begins = !in_word;
        in_word = IsCased(c);
        return begins ? ToTitle(c) : ToLower(c);
      }
      case Case::kSwap:
        break;
    }
    return IsUpper(c) ? ToLower(c) : IsLower(c) ? ToUpper(c) : CaseMapping{{c, 0, 0}, 1};
  });
}

Result<TextPtr> TitleWords(Budget& budget, const Text& text) {
  bool begins = true;
  return MapCharacters(budget, text, [&](uint32_t c) {
    const bool separator = IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    const bool upper = std::exchange(begins, separator);
    return upper ? ToUpper(c) : ToLower(c);
  });
}

Result<TextPtr> Strip(Budget& budget, const Text& text, const Text* chars, Side side) {
  MIRAGE_TRY(budget.StepBytes(text.size() + (chars == nullptr ? 0 : 32 * chars->size())));
  const StripSet set(chars);
  const size_t begin = side == Side::kRight ? 0 : StripLeft(text, set);
  const size_t end = side == Side::kLeft ? text.size() : StripRight(text, set, begin);
  return Slice(budget, text, begin, end);
}

Result<std::vector<TextPtr>> Split(Budget& budget, const Text& text, const Text* separator,
                                   int64_t max_splits, bool from_right) {
  if (separator != nullptr && separator->size() == 0) return Wrong("empty separator");
  // Searching backwards takes the product of the lengths at worst.
  const bool product = from_right && separator != nullptr;
  MIRAGE_TRY(budget.StepBytes(text.size() * (product ? separator->size() : 1)));
  Parts parts(budget, text, max_splits);
  if (from_right) {
    MIRAGE_TRY(separator == nullptr ? CutAtSpaceFromRight(text.bytes(), &parts)
                                    : CutAtFromRight(text.bytes(), separator->bytes(), &parts));
    return parts.TakeReversed();
  }
  MIRAGE_TRY(separator == nullptr ? CutAtSpace(text.bytes(), &parts)
                                  : CutAt(text.bytes(), separator->bytes(), &parts));
  return parts.Take();
}

Result<std::vector<TextPtr>> SplitLines(Budget& budget, const Text& text, bool keep_ends) {
  MIRAGE_TRY(budget.StepBytes(text.size()));
  Parts lines(budget, text, -1);
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t line_end = at;
    const uint32_t c = DecodeUtf8(text.bytes(), &at);
    if (!IsLineBreak(c)) continue;
    if (c == '\r' && at < text.size() && text.bytes()[at] == '\n') ++at;
    MIRAGE_TRY(lines.Add(begin, keep_ends ? at : line_end));
    begin = at;
  }
  if (begin < text.size()) MIRAGE_TRY(lines.Add(begin, text.size()));
  return lines.Take();
}

Result<TextPtr> Replace(Budget& budget, const Text& text, const Text& from, const Text& to,
                        int64_t max_count) {
  MIRAGE_TRY(budget.StepBytes(text.size()));
  TextBuilder out(budget);
  const auto may_replace = [&](int64_t done) {
    return !out.overflowed() && (max_count < 0 || done < max_count);
  };
  size_t begin = 0;
  int64_t done = 0;
  if (from.size() == 0) {
    // Between all characters, and at both ends.
    while (may_replace(done)) {
      out.Append(to);
      ++done;
      if (begin == text.size()) return out.Finish();
      const size_t next = begin + Utf8Length(text.bytes()[begin]);
      out.Append(text, begin, next);
      begin = next;
    }
  } else {
    for (; may_replace(done); ++done) {
      const size_t at = FindBytes(text.bytes(), from.bytes(), begin);
      if (at == kNone) break;
      out.Append(text, begin, at);
      out.Append(to);
      begin = at + from.size();
    }
  }
  MIRAGE_TRY(budget.Step(static_cast<uint64_t>(done)));
  out.Append(text, begin, text.size());
  return out.Finish();
}

Result<TextPtr> Repeat(Budget& budget, const Text& text, int64_t count) {
  const auto repeats = static_cast<uint64_t>(std::max<int64_t>(count, 0));
  MIRAGE_TRY(budget.CheckStringBytes(text.size(), repeats));
  TextBuilder out(budget);
  if (text.size() > 0) {
    MIRAGE_TRY(budget.Step(repeats));
    for (uint64_t i = 0; i < repeats; ++i) out.Append(text);
  }
  return out.Finish();
}

Result<TextPtr> Pad(Budget& budget, const Text& text, int64_t width, const Text& fill,
                    Align align) {
  if (fill.code_points() != 1)
    return Wrong("the fill character must be exactly one character long");
  const auto length = static_cast<int64_t>(text.code_points());
  const int64_t missing = std::max<int64_t>(width - length, 0);
  // Python's center puts the odd one on the left when the width is odd.
  const int64_t left = align == Align::kLeft    ? 0
                       : align == Align::kRight ? missing
                                                : missing / 2 + (missing & width & 1);
  MIRAGE_TRY_ASSIGN(const TextPtr before, Repeat(budget, fill, left));
  MIRAGE_TRY_ASSIGN(const TextPtr after, Repeat(budget, fill, missing - left));
  TextBuilder out(budget);
  out.Append(*before);
  out.Append(text);
  out.Append(*after);
  return out.Finish();
}

Result<TextPtr> Join(Budget& budget, const Text& separator, const std::vector<TextPtr>& parts) {
  TextBuilder out(budget);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out.Append(separator);
    out.Append(*parts[i]);
  }
  return out.Finish();
}

Result<TextPtr> Reverse(Budget& budget, const Text& text) {
  TextBuilder out(budget);
  for (size_t end = text.size(); end > 0;) {
    const size_t begin = PreviousUtf8(text.bytes(), end);
    out.Append(text.bytes().substr(begin, end - begin), text.OriginAt(begin));
    end = begin;
  }
  return out.Finish();
}

Result<TextPtr> EscapeHtml(Budget& budget, const Text& text) {
  TextBuilder out(budget);
  size_t plain = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    std::string_view entity;
    switch (text.bytes()[at]) {
      case '&':
        entity = "&amp;";
        break;
      case '<':
        entity = "&lt;";
        break;
      case '>':
        entity = "&gt;";
        break;
      case '\'':
        entity = "&#39;";
        break;
      case '"':
        entity = "&#34;";
        break;
      default:
        continue;
    }
    out.Append(text, plain, at);
    out.Append(entity, text.OriginAt(at));
    plain = at + 1;
  }
  out.Append(text, plain, text.size());
  return out.Finish();
}

}  // namespace mirage::text::jinja
