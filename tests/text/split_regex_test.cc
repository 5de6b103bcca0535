// SPDX-License-Identifier: Apache-2.0
#include "text/split_regex.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mirage::text {
namespace {

using Pieces = std::vector<std::string>;

Pieces Split(std::string_view pattern, std::string_view text) {
  const auto regex = SplitRegex::Compile(pattern);
  if (!regex) {
    ADD_FAILURE() << regex.error().message;
    return {};
  }
  SplitRegex::Scratch scratch;
  Pieces pieces;
  regex->Split(text, &scratch, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

TEST(SplitRegex, GapsBetweenMatchesArePieces) {
  EXPECT_EQ(Split(R"(\p{N}+)", "ab12c3"), (Pieces{"ab", "12", "c", "3"}));
  EXPECT_EQ(Split(R"(\p{N}+)", ""), Pieces{});
  EXPECT_EQ(Split(R"(\p{N}+)", "abc"), Pieces{"abc"});
}

TEST(SplitRegex, TheFirstAlternativeThatMatchesWins) {
  EXPECT_EQ(Split("a|ab", "ab"), (Pieces{"a", "b"}));
  EXPECT_EQ(Split("ab|a", "aba"), (Pieces{"ab", "a"}));
}

TEST(SplitRegex, GreedyRunsGiveBack) {
  EXPECT_EQ(Split(R"(\s+(?!\S))", "a   b"), (Pieces{"a", "  ", " b"}));
  EXPECT_EQ(Split(R"(\s*[\r\n]+)", " \n \n  x"), (Pieces{" \n \n", "  x"}));
  EXPECT_EQ(Split("a{1,3}ab", "aaab"), Pieces{"aaab"});
}

TEST(SplitRegex, PossessiveRunsDoNotGiveBack) {
  EXPECT_EQ(Split("a?ab", "ab"), Pieces{"ab"});
  EXPECT_EQ(Split("a?+ab|b", "ab"), (Pieces{"a", "b"}));
  EXPECT_EQ(Split("a++b", "xaab"), (Pieces{"x", "aab"}));
  EXPECT_EQ(Split("a++ab|x", "aabx"), (Pieces{"aab", "x"}));
}

TEST(SplitRegex, CountsAreBounded) {
  EXPECT_EQ(Split("a{2}", "aaaaa"), (Pieces{"aa", "aa", "a"}));
  EXPECT_EQ(Split("a{1,3}", "aaaaa"), (Pieces{"aaa", "aa"}));
}

TEST(SplitRegex, GroupsRepeat) {
  EXPECT_EQ(Split("I((A|B){1,2})Z", "IAZIABZIABAZ"), (Pieces{"IAZ", "IABZ", "IABAZ"}));
  EXPECT_EQ(Split("(?:ab(?: ab)*)+", "ab abab x"), (Pieces{"ab abab", " x"}));
}

TEST(SplitRegex, IgnoringCaseFoldsTheLongS) {
  EXPECT_EQ(Split("(?i:'s|'ll)", "a'sb'Sc'ſd'Ll"),
            (Pieces{"a", "'s", "b", "'S", "c", "'ſ", "d", "'Ll"}));
  EXPECT_EQ(Split("'s", "'S"), Pieces{"'S"});
}

TEST(SplitRegex, ClassesHoldRangesPropertiesNestingAndNegation) {
  EXPECT_EQ(Split(R"([^\s\p{L}]+)", "ab12é ,"), (Pieces{"ab", "12", "é ", ","}));
  EXPECT_EQ(Split(R"([!-/\[\]]+)", "a+]b"), (Pieces{"a", "+]", "b"}));
  EXPECT_EQ(Split(R"([^(\s|[.,])]+)", "a|b. c"), (Pieces{"a", "|", "b", ". ", "c"}));
  EXPECT_EQ(Split(R"([\p{L}&&[^\p{Han}]]+)", "a漢字b"), (Pieces{"a", "漢字", "b"}));
  EXPECT_EQ(Split("[一-龥]+", "x漢字y"), (Pieces{"x", "漢字", "y"}));
}

TEST(SplitRegex, TheLineEndsBeforeANewlineAndAtTheEnd) {
  EXPECT_EQ(Split(R"([ ]+$)", "a  \nb "), (Pieces{"a", "  ", "\nb", " "}));
}

TEST(SplitRegex, WhatIsOutsideTheSubsetIsRefused) {
  for (const char* pattern :
       {"(?=a)", "(?<=a)", R"(\w)", R"(\p{Greek})", "[a", "a{2", "a{2,}", "(a", "a)", "[b-a]"}) {
    const auto regex = SplitRegex::Compile(pattern);
    ASSERT_FALSE(regex) << pattern;
    EXPECT_EQ(regex.error().code, Code::kInternal);
    EXPECT_NE(regex.error().message.find(pattern), std::string::npos);
  }
}

}  // namespace
}  // namespace mirage::text
