// SPDX-License-Identifier: Apache-2.0

#include "session/conversation.h"

#include <gtest/gtest.h>

#include <string>

namespace mirage::session {
namespace {

TEST(Conversation, MessagesKeepTheirOrder) {
  Conversation conversation;
  conversation.AddMessage("user", "a \"quoted\" word");
  conversation.AddMessage("assistant", "b");
  EXPECT_EQ(conversation.message_count(), 2u);
  EXPECT_EQ(conversation.ToJson(),
            R"({"messages":[{"role":"user","content":"a \"quoted\" word"},)"
            R"({"role":"assistant","content":"b"}],"add_generation_prompt":true})");
}

TEST(Conversation, BytesThatAreNoTextAreReplaced) {
  Conversation conversation;
  conversation.AddMessage("user", "\xFF");
  EXPECT_NE(conversation.ToJson().find("\xEF\xBF\xBD"), std::string::npos);
}

TEST(Conversation, JsonAddsMessagesAndReplacesTheRest) {
  Conversation conversation;
  conversation.AddMessage("user", "a");
  ASSERT_TRUE(conversation.AddJson(R"({"tools": [1], "messages": [{"role": "x", "n": 1.5}]})"));
  ASSERT_TRUE(conversation.AddJson(R"({"tools": [2], "vars": {"k": null}})"));
  EXPECT_EQ(conversation.message_count(), 2u);
  EXPECT_EQ(conversation.ToJson(),
            R"({"messages":[{"role":"user","content":"a"},{"role":"x","n":1.5}],)"
            R"("tools":[2],"vars":{"k":null},"add_generation_prompt":true})");
}

TEST(Conversation, BadJsonChangesNothing) {
  Conversation conversation;
  conversation.AddMessage("user", "a");
  const std::string before = conversation.ToJson();
  for (const char* bad : {"", "{", "[]", "7", R"({"messages": {}})", R"({"messages": [1]})",
                          R"({"tools": [3], "add_generation_prompt": false})",
                          R"({"messages": [{}], "surprise": 1})", "{\"vars\": \"\xFF\"}"}) {
    const Status status = conversation.AddJson(bad);
    ASSERT_FALSE(status) << bad;
    EXPECT_EQ(status.error().code, Code::kInvalidArgument) << bad;
    EXPECT_EQ(conversation.ToJson(), before) << bad;
  }
}

TEST(Conversation, DepthIsBounded) {
  Conversation conversation;
  const auto nested = [](int depth) {
    return "{\"tools\": " + std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']') + "}";
  };
  EXPECT_TRUE(conversation.AddJson(nested(Conversation::kMaxJsonDepth - 1)));
  EXPECT_FALSE(conversation.AddJson(nested(Conversation::kMaxJsonDepth + 1)));
  EXPECT_FALSE(conversation.AddJson(nested(1'000'000)));
}

TEST(Conversation, MessagesCanBeTakenBack) {
  Conversation conversation;
  conversation.AddMessage("user", "a");
  conversation.AddMessage("assistant", "b");
  conversation.KeepMessages(1);
  EXPECT_EQ(conversation.message_count(), 1u);
  conversation.KeepMessages(5);
  EXPECT_EQ(conversation.message_count(), 1u);
}

}  // namespace
}  // namespace mirage::session
