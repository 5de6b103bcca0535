// SPDX-License-Identifier: Apache-2.0
#pragma once

// Unicode 16.0: what the tokenizers need to know about a code point, and UTF-8 in and out.
//
// The tables are those of the version under the published tokenizers' regexes, never the C
// library's or another package's, so that a text splits the same everywhere. Text inside this room
// is well-formed UTF-8: RepairUtf8 is the one gate, and the decoders after it do not check again.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mirage::text {

// General categories, in the order of tools/make_unicode_table.py.
// clang-format off
enum class Category : uint8_t {
  kCn, kLu, kLl, kLt, kLm, kLo, kMn, kMc, kMe, kNd, kNl, kNo, kPc, kPd, kPs, kPe, kPi, kPf, kPo,
  kSm, kSc, kSk, kSo, kZs, kZl, kZp, kCc, kCf, kCs, kCo,
};
// clang-format on

constexpr char32_t kReplacement = 0xFFFD;
constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, how SentencePiece writes a space

// A set of categories as bits.
using CategoryMask = uint32_t;
[[nodiscard]] constexpr CategoryMask Bit(Category category) {
  return CategoryMask{1} << static_cast<unsigned>(category);
}
template <typename... Categories>
[[nodiscard]] constexpr CategoryMask MaskOf(Categories... categories) {
  return (Bit(categories) | ...);
}
constexpr CategoryMask kLetters =
    MaskOf(Category::kLu, Category::kLl, Category::kLt, Category::kLm, Category::kLo);
constexpr CategoryMask kMarks = MaskOf(Category::kMn, Category::kMc, Category::kMe);
constexpr CategoryMask kNumbers = MaskOf(Category::kNd, Category::kNl, Category::kNo);
constexpr CategoryMask kPunctuation =
    MaskOf(Category::kPc, Category::kPd, Category::kPs, Category::kPe, Category::kPi, Category::kPf,
           Category::kPo);
constexpr CategoryMask kSymbols =
    MaskOf(Category::kSm, Category::kSc, Category::kSk, Category::kSo);

// One code point's properties.
class Properties {
 public:
  explicit constexpr Properties(uint8_t packed) : packed_(packed) {}
  [[nodiscard]] constexpr Category category() const { return static_cast<Category>(packed_ & 31); }
  [[nodiscard]] constexpr bool in(CategoryMask mask) const { return (mask >> (packed_ & 31)) & 1; }
  [[nodiscard]] constexpr bool white_space() const { return packed_ & 32; }
  [[nodiscard]] constexpr bool han() const { return packed_ & 64; }
  [[nodiscard]] constexpr bool word() const {
    return (packed_ & 128) ||
           in(kLetters | kMarks | MaskOf(Category::kNd, Category::kNl, Category::kPc));
  }

 private:
  uint8_t packed_;
};
[[nodiscard]] Properties PropertiesOf(char32_t code_point);

// Decodes the code point at `at`, which must be the start of one, and moves `at` past it.
[[nodiscard]] char32_t DecodeUtf8(std::string_view text, size_t* at);
// The start of the code point that ends at `end` (end > 0).
[[nodiscard]] size_t PreviousUtf8(std::string_view text, size_t end);
// Bytes of the sequence that this byte leads; 1 for a byte that leads none.
[[nodiscard]] constexpr size_t Utf8Length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0xC2 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : byte < 0xF5 ? 4 : 1;
}
void AppendUtf8(char32_t code_point, std::string* out);

// How the bytes at the front of `text` read.
struct Utf8Prefix {
  enum Kind { kWhole, kIncomplete, kIllFormed } kind;
  size_t bytes;  // of the code point; of all that is there; of the maximal ill-formed part
};
[[nodiscard]] Utf8Prefix InspectUtf8(std::string_view text);

// Nothing when the text is well-formed already; otherwise a copy in which every maximal ill-formed
// part is U+FFFD.
[[nodiscard]] std::optional<std::string> RepairUtf8(std::string_view text);

// Lower case without context (U+0130 becomes two code points), appended.
void AppendLower(char32_t code_point, std::u32string* out);

// What BERT's tokenizers know: they stand on Unicode 8.0, and later letters and marks are nothing
// to them.
[[nodiscard]] Category BertCategory(char32_t code_point);

// Canonical normalization (Unicode Standard Annex #15) as the `tokenizers` library knows it, by
// Unicode 9.0: what is newer stays as it is.
// Canonical decomposition with canonical order (form D).
[[nodiscard]] std::u32string Decompose(std::u32string_view text);
// Nothing when the text is in form C already; otherwise a copy that is.
[[nodiscard]] std::optional<std::string> ComposeUtf8(std::string_view text);

}  // namespace mirage::text
