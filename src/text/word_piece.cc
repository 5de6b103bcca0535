// SPDX-License-Identifier: Apache-2.0
#include "text/word_piece.h"

#include <algorithm>
#include <string>

#include "text/unicode.h"

namespace mirage::text {
namespace {

// The blocks as BertNormalizer lists them, its slip in the last but two included.
constexpr struct {
  char32_t first, last;
} kIdeographs[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                   {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};

bool IsIdeograph(char32_t code_point) {
  return std::any_of(std::begin(kIdeographs), std::end(kIdeographs), [&](const auto& block) {
    return block.first <= code_point && code_point <= block.last;
  });
}

bool IsPlainSpace(char32_t code_point) {
  return code_point == '\t' || code_point == '\n' || code_point == '\r' || code_point == ' ';
}

bool IsRemoved(char32_t code_point) {
  constexpr CategoryMask kOther = MaskOf(Category::kCc, Category::kCf, Category::kCo);
  if (code_point == 0 || code_point == kReplacement) return true;
  return !IsPlainSpace(code_point) && (Bit(BertCategory(code_point)) & kOther);
}

bool EndsWord(char32_t code_point) {
  const CategoryMask category = Bit(BertCategory(code_point));
  const bool ascii_sign = code_point < 0x7F && (category & kSymbols);
  return ascii_sign || (category & kPunctuation) || IsIdeograph(code_point);
}

}  // namespace

// White space comes out as ' '.
std::u32string WordPieceModel::Normalize(std::string_view text) const {
  std::u32string clean;
  clean.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char32_t code_point = DecodeUtf8(text, &at);
    if (IsRemoved(code_point)) continue;
    clean.push_back(PropertiesOf(code_point).white_space() ? U' ' : code_point);
  }
  if (options_.strip_accents) {
    clean = Decompose(clean);
    std::erase_if(clean, [](char32_t c) { return BertCategory(c) == Category::kMn; });
  }
  if (!options_.lowercase) return clean;
  std::u32string lower;
  lower.reserve(clean.size());
  for (const char32_t code_point : clean) AppendLower(code_point, &lower);
  return lower;
}

Status WordPieceModel::Encode(std::string_view text, bool, std::vector<int32_t>* ids) const {
  // No word and no normalization reaches across white space.
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find_first_of(" \t\n\r", begin), text.size());
    if (end > begin) EncodePart(text.substr(begin, end - begin), ids);
    begin = end + 1;
  }
  return {};
}

void WordPieceModel::EncodePart(std::string_view text, std::vector<int32_t>* ids) const {
  const std::u32string letters = Normalize(text);
  const std::u32string_view view = letters;
  size_t begin = 0;
  const auto end_word = [&](size_t end) {
    if (end > begin) EncodeWord(view.substr(begin, end - begin), ids);
    begin = end;
  };
  for (size_t at = 0; at < view.size(); ++at) {
    if (PropertiesOf(view[at]).white_space()) {
      end_word(at);
      begin = at + 1;
    } else if (EndsWord(view[at])) {
      end_word(at);
      end_word(at + 1);
    }
  }
  end_word(view.size());
}

void WordPieceModel::EncodeWord(std::u32string_view word, std::vector<int32_t>* ids) const {
  const size_t first_id = ids->size();
  if (word.size() > kMaxWordLetters) {
    ids->push_back(unknown_);
    return;
  }
  std::string text = " ";  // tokens that begin a word begin with a space
  std::vector<size_t> borders;
  for (const char32_t letter : word) {
    AppendUtf8(letter, &text);
    borders.push_back(text.size());
  }
  for (size_t begin = 0; begin < text.size();) {
    // From the longest possible end down.
    auto end = std::upper_bound(borders.begin(), borders.end(), begin + tokens_.longest_bytes());
    int32_t id = kNoToken;
    while (id == kNoToken && end != borders.begin() && *(end - 1) > begin) {
      --end;
      id = tokens_.Find(std::string_view(text).substr(begin, *end - begin));
    }
    if (id == kNoToken) {
      ids->resize(first_id);
      ids->push_back(unknown_);
      return;
    }
    ids->push_back(id);
    begin = *end;
  }
}

}  // namespace mirage::text
