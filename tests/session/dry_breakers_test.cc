// SPDX-License-Identifier: Apache-2.0

#include "session/dry_breakers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "session/text_stream.h"
#include "tests/text/small_vocab.h"

namespace mirage::session {
namespace {

using Tokens = std::vector<int32_t>;

// Bytes, "ab", "b:", ":c", "a:b".
struct Vocabulary {
  Vocabulary() : vocab("gpt2", "gpt-2") {
    vocab.AddByteLetters();
    ab = static_cast<int32_t>(vocab.Merge("a", "b"));
    b_colon = static_cast<int32_t>(vocab.Add("b:"));
    colon_c = static_cast<int32_t>(vocab.Add(":c"));
    whole = static_cast<int32_t>(vocab.Add("a:b"));
    Result<std::unique_ptr<text::Tokenizer>> made = text::Tokenizer::Create(std::move(vocab.data));
    EXPECT_TRUE(made) << made.error().message;
    tokenizer = *std::move(made);
  }
  text::SmallVocab vocab;
  int32_t ab, b_colon, colon_c, whole;
  std::shared_ptr<const text::Tokenizer> tokenizer;
};

bool Holds(const sample::TokenSequences& set, const Tokens& sequence) {
  return std::find(set.all().begin(), set.all().end(), sequence) != set.all().end();
}

TEST(DryBreakers, EveryTokenThatContainsTheStringIsOne) {
  const Vocabulary v;
  const auto set = CompileDryBreakers(*v.tokenizer, {":"});
  ASSERT_TRUE(set);
  EXPECT_EQ((*set)->all().size(), 4u);
  for (const int32_t token : {int32_t{':'}, v.b_colon, v.colon_c, v.whole})
    EXPECT_TRUE((*set)->HasSingle(token)) << token;
}

TEST(DryBreakers, AStringOverSeveralTokensBeginsInAnyTokenThatEndsWithItsBeginning) {
  const Vocabulary v;
  const auto set = CompileDryBreakers(*v.tokenizer, {":ab"});
  ASSERT_TRUE(set);
  EXPECT_EQ((*set)->all().size(), 2u);
  EXPECT_TRUE(Holds(**set, {':', v.ab}));
  EXPECT_TRUE(Holds(**set, {v.b_colon, v.ab}));
}

TEST(DryBreakers, NoStringsAreNoSetAndBadOnesAreNamed) {
  const Vocabulary v;
  const auto none = CompileDryBreakers(*v.tokenizer, {});
  ASSERT_TRUE(none);
  EXPECT_EQ(*none, nullptr);
  const auto empty = CompileDryBreakers(*v.tokenizer, {"x", ""});
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().message, "dry_breakers has a string of 0 bytes, expected 1 to 256");
  EXPECT_FALSE(CompileDryBreakers(*v.tokenizer, std::vector<std::string>(65, "x")));
}

// The first tokens' text is not searched, so a string that begins there does not end the answer.
TEST(TextStream, StopStringsCountFromMinTokensOn) {
  const Vocabulary v;
  const auto matcher = StopMatcher::Create({"ab"});
  ASSERT_TRUE(matcher);
  TextStream stream(v.tokenizer, {}, *matcher, 3);
  std::string text;
  for (const int32_t token : {v.ab, int32_t{'c'}, int32_t{'a'}, int32_t{'b'}, int32_t{'d'}})
    text += stream.Push(token);
  EXPECT_EQ(text, "abcabd");
  EXPECT_FALSE(stream.stopped());
  EXPECT_EQ(stream.Push('a'), "");
  EXPECT_EQ(stream.Push('b'), "");
  EXPECT_TRUE(stream.stopped());
  TextStream at_once(v.tokenizer, {}, *matcher);
  EXPECT_EQ(at_once.Push(v.ab), "");
  EXPECT_TRUE(at_once.stopped());
}

}  // namespace
}  // namespace mirage::session
