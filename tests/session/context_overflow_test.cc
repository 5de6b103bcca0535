// SPDX-License-Identifier: Apache-2.0

#include "session/context_overflow.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "tests/session/add_to_conversation.h"

namespace mirage::session {
namespace {

using Policy = ContextOverflow::Policy;

// A template and a tokenizer in one: a token per byte of the JSON.
Result<std::vector<int32_t>> Bytes(const std::string& json) {
  return std::vector<int32_t>(json.begin(), json.end());
}

PromptSpace Space(Policy policy, int64_t context, int64_t max_tokens = -1, int64_t keep = -1) {
  return {{policy, keep}, context, max_tokens};
}

std::vector<int32_t> Counted(int32_t count) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

// The first `keep` of Counted(count) and those after the next `dropped`.
std::vector<int32_t> Without(int32_t count, int64_t keep, int64_t dropped) {
  std::vector<int32_t> tokens = Counted(count);
  tokens.erase(tokens.begin() + keep, tokens.begin() + keep + dropped);
  return tokens;
}

Conversation Chat(int turns, bool system = true) {
  Conversation chat;
  if (system) AddMessage(chat, "system", "be brief");
  for (int i = 0; i < turns; ++i) {
    if (i > 0) AddMessage(chat, "assistant", "the answer number " + std::to_string(i));
    AddMessage(chat, "user", "the question number " + std::to_string(i));
  }
  return chat;
}

const std::string kSystem = R"({"messages":[{"role":"system","content":"be brief"})";

int64_t Size(const std::string& text) { return static_cast<int64_t>(text.size()); }

TEST(FitTokens, WithErrorNothingIsDropped) {
  EXPECT_EQ(FitTokens(Counted(100), Space(Policy::kError, 10)).tokens, Counted(100));
}

TEST(FitTokens, NothingIsDroppedOfWhatIsIndivisible) {
  for (const Policy policy : {Policy::kShift, Policy::kTruncateMiddle}) {
    PromptSpace space = Space(policy, 10);
    space.indivisible = 60;
    const FittedPrompt whole = FitTokens(Counted(100), space);
    EXPECT_EQ(whole.tokens, Counted(100));
    EXPECT_FALSE(whole.divisible);
    EXPECT_TRUE(FitTokens(Counted(60), space).divisible);
    EXPECT_LT(FitTokens(Counted(60), space).tokens.size(), 10u);
  }
}

TEST(FitTokens, TheMiddleIsDroppedAsFarAsTheAnswerNeeds) {
  const auto fit = [](int64_t max_tokens, int64_t keep) {
    return FitTokens(Counted(100), Space(Policy::kTruncateMiddle, 90, max_tokens, keep));
  };
  EXPECT_EQ(fit(10, -1).tokens, Without(100, 4, 20));
  EXPECT_EQ(fit(10, -1).dropped, 20);
  EXPECT_EQ(fit(10, 30).tokens, Without(100, 30, 20));
  EXPECT_EQ(fit(10, 30).keep, 30);
  EXPECT_EQ(fit(10, 0).tokens, Without(100, 0, 20));
  EXPECT_EQ(fit(80, 0).tokens.size(), 45u);  // half of the context is room enough
  EXPECT_EQ(fit(-1, 0).tokens.size(), 45u);
  EXPECT_EQ(FitTokens(Counted(900), Space(Policy::kTruncateMiddle, 1000)).tokens.size(), 744u);
  EXPECT_EQ(FitTokens(Counted(80), Space(Policy::kTruncateMiddle, 90, 10)).dropped, 0);
}

TEST(FitTokens, AContextThatShiftsLosesPortions) {
  const auto fit = [](int32_t count) {
    return FitTokens(Counted(count), Space(Policy::kShift, 100, 1000, 20));
  };
  EXPECT_EQ(fit(75).dropped, 0);  // a quarter is free
  EXPECT_EQ(fit(76).tokens, Without(76, 20, 40));
  EXPECT_EQ(fit(115).tokens, Without(115, 20, 40));
  EXPECT_EQ(fit(116).tokens, Without(116, 20, 80));
}

TEST(FitTokens, SomethingOfTheEndIsLeftWhateverTheNumbers) {
  for (const Policy policy : {Policy::kShift, Policy::kTruncateMiddle})
    for (int64_t context = 2; context < 40; ++context)
      for (int64_t keep = 0; CheckOverflow({policy, keep}, context).has_value(); ++keep)
        for (int32_t count = 1; count < 100; ++count) {
          const FittedPrompt fitted = FitTokens(Counted(count), Space(policy, context, -1, keep));
          const auto left = static_cast<int64_t>(fitted.tokens.size());
          ASSERT_LT(left, context) << count << ", keeping " << keep;
          ASSERT_EQ(fitted.tokens,
                    Without(count, count - fitted.dropped == left ? keep : 0, fitted.dropped));
          ASSERT_EQ(fitted.tokens.back(), count - 1);
          ASSERT_TRUE(left > keep || fitted.dropped == 0);
        }
}

TEST(FitConversation, OneThatFitsIsLeftAlone) {
  for (const Policy policy : {Policy::kShift, Policy::kTruncateMiddle}) {
    const FittedPrompt fitted = *FitConversation(Chat(3), Bytes, Space(policy, 4000));
    EXPECT_EQ(fitted.tokens, *Bytes(Chat(3).ToJson()));
    EXPECT_EQ(fitted.dropped, 0);
    EXPECT_EQ(fitted.keep, Size(kSystem));
  }
}

TEST(FitConversation, TheOldestTurnsAreLeftOutAndNoMore) {
  const Conversation chat = Chat(20);
  const int64_t whole = Size(chat.ToJson());
  for (const size_t begin : chat.LaterTurns()) {
    const int64_t size = Size(chat.TurnsToJson(begin));
    // Room for the turns from this one on, and just that.
    const FittedPrompt fitted =
        *FitConversation(chat, Bytes, Space(Policy::kTruncateMiddle, size + 50, 50));
    EXPECT_EQ(fitted.tokens, *Bytes(chat.TurnsToJson(begin))) << begin;
    EXPECT_EQ(fitted.dropped, whole - size);
  }
}

TEST(FitConversation, ToolCallsGoWithTheirQuestion) {
  Conversation chat;
  ASSERT_TRUE(AddJson(
      chat,
      R"({"messages":[{"content":{"role":"user"},"role":"developer"},{"role":"user","content":"a"},
      {"role":"assistant","tool_calls":[{"role":"user"}]},{"role":"tool","content":"7"},
      {"role":"assistant","content":"b"},{"role":"user","content":"c"}],"tools":[{"role":"user"}]})"));
  EXPECT_EQ(chat.SystemMessages(), 1u);
  EXPECT_EQ(chat.LaterTurns(), std::vector<size_t>{5});
  EXPECT_EQ(chat.TurnsToJson(5), R"({"messages":[{"content":{"role":"user"},"role":"developer"},)"
                                 R"({"role":"user","content":"c"}],"tools":[{"role":"user"}],)"
                                 R"("add_generation_prompt":true})");
}

TEST(FitConversation, WhatTheTemplateRefusesIsPassedOver) {
  const Conversation chat = Chat(12);
  const std::vector<size_t> turns = chat.LaterTurns();
  const auto render = [&](const std::string& json) -> Result<std::vector<int32_t>> {
    if (json != chat.ToJson() && json != chat.TurnsToJson(turns[8]))
      return Fail(Code::kRefused, "not so");
    return Bytes(json);
  };
  const FittedPrompt fitted =
      *FitConversation(chat, render, Space(Policy::kTruncateMiddle, Size(chat.ToJson()), 50));
  EXPECT_EQ(fitted.tokens, *Bytes(chat.TurnsToJson(turns[8])));
  EXPECT_EQ(fitted.keep, ContextOverflow::kSinks);  // the system's could not be told
}

TEST(FitConversation, OtherFailuresAreTold) {
  const Conversation chat = Chat(12);
  for (const bool whole : {true, false}) {
    const auto render = [&](const std::string& json) -> Result<std::vector<int32_t>> {
      if (whole == (json == chat.ToJson())) return Fail(Code::kInternal, "broken");
      return Bytes(json);
    };
    const auto failed = FitConversation(chat, render, Space(Policy::kTruncateMiddle, 300));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, Code::kInternal);
  }
}

TEST(FitConversation, AMessageThatIsTooLongLosesTokensAfterTheSystems) {
  Conversation chat = Chat(2);
  AddMessage(chat, "assistant", "yes");
  AddMessage(chat, "user", std::string(1000, 'x') + "end");
  const std::string whole = chat.ToJson();
  const FittedPrompt fitted =
      *FitConversation(chat, Bytes, Space(Policy::kTruncateMiddle, 400, 100));
  EXPECT_EQ(fitted.tokens, *Bytes(kSystem + whole.substr(whole.size() - 300 + kSystem.size())));
  EXPECT_EQ(fitted.dropped, Size(whole) - 300);
}

TEST(FitConversation, WithoutASystemMessageTheSinksAreKept) {
  EXPECT_EQ(FitConversation(Chat(3, false), Bytes, Space(Policy::kShift, 400))->keep, 4);
  EXPECT_EQ(FitConversation(Chat(3), Bytes, Space(Policy::kShift, 400, -1, 7))->keep, 7);
  EXPECT_EQ(FitConversation(Chat(3), Bytes, Space(Policy::kShift, 61))->keep, 30);  // half
}

// So that most answers find their prompt's beginning computed.
TEST(FitConversation, OneThatGrowsBeginsAlikeForAWhileWhereTheContextShifts) {
  const auto beginnings = [](Policy policy) {
    std::set<std::vector<int32_t>> different;
    for (int turns = 1; turns < 60; ++turns) {
      const FittedPrompt fitted = *FitConversation(Chat(turns), Bytes, Space(policy, 1000, 100));
      EXPECT_LE(fitted.tokens.size(), 900u);
      if (fitted.dropped > 0)
        different.insert({fitted.tokens.begin(), fitted.tokens.begin() + Size(kSystem) + 60});
    }
    return different.size();
  };
  EXPECT_GT(beginnings(Policy::kTruncateMiddle), 45u);
  EXPECT_LT(beginnings(Policy::kShift), 20u);
}

TEST(CheckOverflow, NamesTheNumber) {
  EXPECT_TRUE(CheckOverflow({}, 100));
  EXPECT_TRUE(CheckOverflow({Policy::kShift, -1}, 100));
  EXPECT_TRUE(CheckOverflow({Policy::kShift, 49}, 100));
  for (const ContextOverflow bad :
       {ContextOverflow{Policy::kShift, 50}, ContextOverflow{Policy::kTruncateMiddle, -2},
        ContextOverflow{Policy::kError, 10}}) {
    const Status refused = CheckOverflow(bad, 100);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
    EXPECT_NE(refused.error().message.find("keep_tokens is " + std::to_string(bad.keep)),
              std::string::npos);
  }
}

}  // namespace
}  // namespace mirage::session
