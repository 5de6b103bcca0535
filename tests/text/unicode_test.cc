// SPDX-License-Identifier: Apache-2.0
#include "text/unicode.h"

#include <gtest/gtest.h>

namespace mirage::text {
namespace {

TEST(Unicode, TheTableIsOfVersion16) {
  EXPECT_EQ(PropertiesOf(0x1C89).category(), Category::kLu);   // new in 16.0
  EXPECT_EQ(PropertiesOf(0x16EA0).category(), Category::kCn);  // new in 17.0
  EXPECT_EQ(PropertiesOf('a').category(), Category::kLl);
  EXPECT_EQ(PropertiesOf(0x0663).category(), Category::kNd);
  EXPECT_EQ(PropertiesOf(0x10FFFD).category(), Category::kCo);
  EXPECT_EQ(PropertiesOf(0x110000).category(), Category::kCn);
}

TEST(Unicode, WhiteSpaceIsTheProperty) {
  for (const char32_t space : {0x09, 0x0D, 0x20, 0x85, 0xA0, 0x2028, 0x3000})
    EXPECT_TRUE(PropertiesOf(space).white_space());
  for (const char32_t other : {0x08, 0x180E, 0x200B, 0xFEFF})
    EXPECT_FALSE(PropertiesOf(other).white_space());
}

TEST(Unicode, WordCharactersAreLettersMarksDigitsAndConnectors) {
  for (const char32_t in : {U'a', U'9', U'_', U'\u0301', U'漢', U'Ⅷ', U'Ⓐ'})
    EXPECT_TRUE(PropertiesOf(in).word());
  for (const char32_t out : {U'-', U' ', U'🚀', U'①'}) EXPECT_FALSE(PropertiesOf(out).word());
}

TEST(Unicode, EveryCodePointSurvivesUtf8) {
  for (char32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (code_point >= 0xD800 && code_point <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(code_point, &text);
    ASSERT_EQ(InspectUtf8(text).kind, Utf8Prefix::kWhole) << uint32_t{code_point};
    ASSERT_EQ(Utf8Length(text[0]), text.size());
    size_t at = 0;
    ASSERT_TRUE(DecodeUtf8(text, &at) == code_point) << uint32_t{code_point};
    ASSERT_EQ(at, text.size());
    ASSERT_EQ(PreviousUtf8("x" + text, text.size() + 1), 1u);
  }
}

TEST(Unicode, WellFormedTextIsNotCopied) { EXPECT_FALSE(RepairUtf8("aé漢🚀\0b")); }

TEST(Unicode, EachMaximalIllFormedPartBecomesOneReplacement) {
  EXPECT_EQ(RepairUtf8("a\xFFz"), "a\uFFFDz");
  EXPECT_EQ(RepairUtf8("\xE6\xBC"), "\uFFFD");                            // cut short
  EXPECT_EQ(RepairUtf8("\xE6\xBCz"), "\uFFFDz");                          // cut short, then text
  EXPECT_EQ(RepairUtf8("\xC0\xAF"), "\uFFFD\uFFFD");                      // overlong
  EXPECT_EQ(RepairUtf8("\xE0\x80\x80"), "\uFFFD\uFFFD\uFFFD");            // overlong
  EXPECT_EQ(RepairUtf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");            // a surrogate
  EXPECT_EQ(RepairUtf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // past U+10FFFF
  EXPECT_EQ(RepairUtf8("\xF0\x9F\x9A\xF0\x9F\x9A\x80"), "\uFFFD🚀");
}

TEST(Unicode, LowerCaseIsPerCodePoint) {
  std::u32string out;
  for (const char32_t c : std::u32string_view(U"AÉΣДẞİ1漢ӁꙀ")) AppendLower(c, &out);
  EXPECT_TRUE(out == U"aéσдßi\u03071漢ӂꙁ");
}

TEST(Unicode, DecompositionIsCanonicalAndOrdered) {
  EXPECT_TRUE(Decompose(U"é") == U"e\u0301");
  EXPECT_TRUE(Decompose(U"한") == U"\u1112\u1161\u11AB");
  EXPECT_TRUE(Decompose(U"\u1E69") == U"s\u0323\u0307");
  EXPECT_TRUE(Decompose(U"a\u0301\u0323") == U"a\u0323\u0301");  // by combining class
  EXPECT_TRUE(Decompose(U"abc") == U"abc");
}

TEST(Unicode, CompositionIsFormC) {
  EXPECT_EQ(ComposeUtf8("plain \u00E9"), std::nullopt);
  EXPECT_EQ(ComposeUtf8("\u6F22\uAC01"), std::nullopt);  // is looked at, and is composed already
  EXPECT_EQ(ComposeUtf8("e\u0301x"), "\u00E9x");
  EXPECT_EQ(ComposeUtf8("\u1112\u1161\u11AB"), "\uD55C");
  EXPECT_EQ(ComposeUtf8("\uD558\u11AB\u11AB"), "\uD55C\u11AB");  // no third trailing consonant
  EXPECT_EQ(ComposeUtf8("s\u0307\u0323"), "\u1E69");             // put in order first
  EXPECT_EQ(ComposeUtf8("a\u0305\u0301"), std::nullopt);         // of one class: blocked
  EXPECT_EQ(ComposeUtf8("a\u200D\u0301"), std::nullopt);         // by a starter
  EXPECT_EQ(ComposeUtf8("\u0301e\u0301"), "\u0301\u00E9");       // nothing before the first
  EXPECT_EQ(ComposeUtf8("\u212B\u2126"), "\u00C5\u03A9");        // singletons
  EXPECT_EQ(ComposeUtf8("\u0958"), "\u0915\u093C");              // excluded from composition
}

TEST(Unicode, BertDoesNotKnowWhatCameAfterVersion8) {
  EXPECT_EQ(PropertiesOf(0x2E43).category(), Category::kPo);
  EXPECT_EQ(BertCategory(0x2E43), Category::kCn);
  EXPECT_EQ(BertCategory(0x166D), Category::kPo);  // a symbol today
  EXPECT_EQ(BertCategory('!'), Category::kPo);
}

}  // namespace
}  // namespace mirage::text
