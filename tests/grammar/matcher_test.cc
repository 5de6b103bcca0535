// SPDX-License-Identifier: Apache-2.0
#include "grammar/matcher.h"

#include <gtest/gtest.h>

#include <string>

#include "grammar/grammar.h"

namespace mirage::grammar {
namespace {

Matcher BeginGbnf(const std::string& text) { return *Grammar::FromGbnf(text)->Begin(); }

TEST(Matcher, ARefusedByteChangesNothing) {
  Matcher matcher = BeginGbnf("root ::= \"ab\" \"c\"?");
  EXPECT_EQ(*matcher.Push("a"), 1u);
  EXPECT_FALSE(*matcher.Push('x'));
  EXPECT_FALSE(matcher.CanEnd());
  EXPECT_EQ(*matcher.Push("bxc"), 1u);
  EXPECT_TRUE(matcher.CanEnd());
  EXPECT_TRUE(*matcher.Push('c'));
  EXPECT_FALSE(*matcher.Push('c'));
}

TEST(Matcher, AcceptsSaysWhatPushWouldTake) {
  const Matcher matcher = BeginGbnf("root ::= [b-d] | rule\nrule ::= \"x\" rule | \"\"");
  for (int byte = 0; byte < 256; ++byte) {
    Matcher copy = matcher;
    EXPECT_EQ(matcher.Accepts(static_cast<uint8_t>(byte)), *copy.Push(static_cast<uint8_t>(byte)));
  }
  EXPECT_TRUE(matcher.Accepts('x'));
  EXPECT_TRUE(matcher.CanEnd());
}

TEST(Matcher, CopiesGoOnIndependently) {
  Matcher one = BeginGbnf("root ::= \"(\" root \")\" | \"x\"");
  EXPECT_EQ(*one.Push("((("), 3u);
  Matcher two = one;
  EXPECT_EQ(*one.Push("x)))"), 4u);
  EXPECT_TRUE(one.CanEnd());
  EXPECT_FALSE(two.CanEnd());
  EXPECT_EQ(*two.Push("(x))))"), 6u);
  EXPECT_TRUE(two.CanEnd());
}

TEST(Matcher, CharactersMayArriveInPieces) {
  Matcher matcher = *Grammar::FromRegex("\xE2\x82\xAC+")->Begin();
  EXPECT_EQ(*matcher.Push("\xE2\x82"), 2u);
  EXPECT_FALSE(matcher.CanEnd());
  EXPECT_FALSE(matcher.Accepts('a'));
  EXPECT_EQ(*matcher.Push("\xAC"), 1u);
  EXPECT_TRUE(matcher.CanEnd());
}

TEST(Matcher, DepthIsBoundedAndSaid) {
  Matcher matcher = BeginGbnf("root ::= \"(\" root \")\" | \"x\"");
  const Result<size_t> taken = matcher.Push(std::string(Matcher::kMaxDepth + 1, '('));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::kUnsupported);
  EXPECT_NE(taken.error().message.find("1000"), std::string::npos);
  EXPECT_FALSE(*matcher.Push(')'));  // still where it was
  EXPECT_EQ(*matcher.Push("x" + std::string(Matcher::kMaxDepth, ')')), Matcher::kMaxDepth + 1);
  EXPECT_TRUE(matcher.CanEnd());
}

TEST(Matcher, RecursionAtTheEndOfARuleNeedsNoDepth) {
  Matcher matcher = BeginGbnf("root ::= \"a\" root | \"b\"");
  EXPECT_EQ(*matcher.Push(std::string(100'000, 'a') + "b"), 100'001u);
  EXPECT_TRUE(matcher.CanEnd());
}

TEST(Matcher, TooManyReadingsAreAnErrorNotAGuess) {
  Matcher matcher = BeginGbnf(
      "root ::= \"a\" p \"b\" | \"a\" q \"c\" | \"x\"\n"
      "p ::= root\nq ::= root \"\"");
  const Result<size_t> taken = matcher.Push(std::string(40, 'a'));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::kUnsupported);
  EXPECT_NE(taken.error().message.find("1024 ways"), std::string::npos);
}

}  // namespace
}  // namespace mirage::grammar
