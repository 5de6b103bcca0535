// SPDX-License-Identifier: Apache-2.0
#include "text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mirage::text {
namespace {

using Pieces = std::vector<std::string>;

// Where a "|" stands in `marked` the family must cut the text without them.
struct Case {
  const char* family;
  const char* marked;
};

constexpr Case kCases[] = {
    {"gpt-2", "Hello| world|,| it|'s| 123| ½|\n\n| ok|  | x|'|S"},
    {"smollm", "a| |1|2|3| |½|  | b"},
    {"llama-bpe", "Hello| world|,| it|'S| |123|4|\n\n|  | ok|?\n\n|x"},
    {"qwen2", "it|'s| |1|2| ok|'ſ|?"},
    {"qwen35", "नमस्ते|1| a\u0301"},
    {"ufakzeka", "it|'s| Ankara|'da"},
    {"minicpm5", "a| |123|4| b"},
    {"gpt-4o", "Camel|Case|HTTPServer's| a\u0301b|/漢字"},
    {"tekken", "Camel|Case|'s| |1|2"},
    {"kimi-k2", "漢字|abcか|漢"},
    {"tiny_aya", "1|234|567| |12|a|341|000"},
    {"afmoe", "1|234|567|漢字かな| abc"},
    {"superbpe", "a b |1|234|567| c|123"},
    {"deepseek-v3", "漢字|123|4|+abc|  | x"},
    {"deepseek-coder", "x|\n| ab|,|漢|1|2"},
    {"deepseek-llm", "x|\n| ab| ,|12|漢字"},
    {"falcon", "ab|+=| |123|4|!"},
    {"default", "ab|+=| |123|4|!"},
    {"bloom", "Hello| world|.| x|,|y"},
    {"viking", "a|1|2| b"},
    {"seed-coder", "a|!|\n\n|b"},
    {"bailingmoe", "it|'LL| go|\n\n|x"},
    {"exaone-moe", "ab cd|?\n|\n|x"},
    {"chameleon", "<|sentinel|:|1|2|>|IMGIMGAZ|    |x|,"},
    {"jais-2", "a|  | x"},
    {"youtu", "한국|漢字|ㄅ|abc"},
    {"gemma4", "a b c|\n\n|d"},
    {"laguna", "a| b|\n\n|c"},
    {"spark2_5", "a|\n|\n|1|b"},
};

TEST(PreTokenizer, EachFamilyCutsAsItsPatternsSay) {
  for (const Case& row : kCases) {
    const auto pre_tokenizer = PreTokenizer::Create(row.family);
    ASSERT_TRUE(pre_tokenizer) << row.family << ": " << pre_tokenizer.error().message;
    ASSERT_TRUE(pre_tokenizer->known()) << row.family;
    Pieces want(1);
    std::string text;
    for (const char c : std::string_view(row.marked)) {
      if (c == '|') {
        want.emplace_back();
      } else {
        want.back() += c;
        text += c;
      }
    }
    PreTokenizer::Scratch scratch;
    Pieces got;
    pre_tokenizer->Split(text, &scratch, [&](std::string_view piece) { got.emplace_back(piece); });
    EXPECT_EQ(got, want) << row.family;
  }
}

TEST(PreTokenizer, AnUnknownNameIsTheDefaultAndSaysSo) {
  const auto unknown = PreTokenizer::Create("no-such-model");
  ASSERT_TRUE(unknown);
  EXPECT_FALSE(unknown->known());
  PreTokenizer::Scratch scratch;
  size_t pieces = 0;
  unknown->Split("a 1234", &scratch, [&](std::string_view) { ++pieces; });
  EXPECT_EQ(pieces, 4u);  // a, space, 123, 4
}

TEST(PreTokenizer, NamesAreWholeWords) {
  for (const char* name : {"gpt", "llama", "qwen", " ", "gpt-2 phi-2"})
    EXPECT_FALSE(PreTokenizer::Create(name)->known()) << name;
}

// Steps per byte must not grow with the text, for runs that make the patterns look far ahead or
// back.
TEST(PreTokenizer, WorkIsLinearInHostileText) {
  const char* units[] = {" ",   "\n",     "a",    "A",      "1",        "'",          "!",
                         "漢",  "\u0301", "あ",   " \n",    "a ",       "1a",         "aA",
                         "あA", "'s",     "\r\n", "IMGIMG", "a\u0301 ", "<sentinel:1"};
  for (const Case& row : kCases) {
    const auto pre_tokenizer = PreTokenizer::Create(row.family);
    ASSERT_TRUE(pre_tokenizer);
    for (const std::string unit : units) {
      for (const char* end : {"", "x", " x", "1", "\n"}) {
        const auto steps = [&](size_t units_count) {
          std::string text;
          for (size_t i = 0; i < units_count; ++i) text += unit;
          PreTokenizer::Scratch scratch;
          pre_tokenizer->Split(text + end, &scratch, [](std::string_view) {});
          return scratch.steps();
        };
        const uint64_t once = steps(400), twice = steps(800);
        EXPECT_LT(twice, once * 5 / 2 + 1000)
            << row.family << ": '" << unit << "' ... '" << end << "'";
      }
    }
  }
}

}  // namespace
}  // namespace mirage::text
