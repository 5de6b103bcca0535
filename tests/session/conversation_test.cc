// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <string>

#include "session/conversation_reader.h"
#include "tests/session/add_to_conversation.h"
#include "text/answer/tool_set.h"

namespace mirage::session {
namespace {

TEST(Conversation, MessagesKeepTheirOrder) {
  Conversation conversation;
  AddMessage(conversation, "user", "a \"quoted\" word");
  AddMessage(conversation, "assistant", "b");
  EXPECT_EQ(conversation.message_count(), 2u);
  EXPECT_EQ(conversation.ToJson(),
            R"({"messages":[{"role":"user","content":"a \"quoted\" word"},)"
            R"({"role":"assistant","content":"b"}],"add_generation_prompt":true})");
}

TEST(Conversation, BytesThatAreNoTextAreReplaced) {
  Conversation conversation;
  AddMessage(conversation, "user", "\xFF");
  EXPECT_NE(conversation.ToJson().find("\xEF\xBF\xBD"), std::string::npos);
}

TEST(Conversation, JsonAddsMessagesAndReplacesTheRest) {
  Conversation conversation;
  AddMessage(conversation, "user", "a");
  ASSERT_TRUE(AddJson(conversation, R"({"tools": [1], "messages": [{"role": "x", "n": 1.5}]})"));
  ASSERT_TRUE(AddJson(conversation, R"({"tools": [2], "vars": {"k": null}})"));
  EXPECT_EQ(conversation.message_count(), 2u);
  EXPECT_EQ(conversation.ToJson(),
            R"({"messages":[{"role":"user","content":"a"},{"role":"x","n":1.5}],)"
            R"("tools":[2],"vars":{"k":null},"add_generation_prompt":true})");
}

TEST(Conversation, BadJsonChangesNothing) {
  Conversation conversation;
  AddMessage(conversation, "user", "a");
  const std::string before = conversation.ToJson();
  for (const char* bad : {"", "{", "[]", "7", R"({"messages": {}})", R"({"messages": [1]})",
                          R"({"tools": [3], "add_generation_prompt": false})",
                          R"({"messages": [{}], "surprise": 1})", "{\"vars\": \"\xFF\"}"}) {
    const Status status = AddJson(conversation, bad);
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
  EXPECT_TRUE(AddJson(conversation, nested(Conversation::kMaxJsonDepth - 1)));
  EXPECT_FALSE(AddJson(conversation, nested(Conversation::kMaxJsonDepth + 1)));
  EXPECT_FALSE(AddJson(conversation, nested(1'000'000)));
}

TEST(Conversation, ToolsAreBounded) {
  Conversation conversation;
  const auto tools = [](size_t bytes) {  // ["xxx"]
    return "{\"tools\": [\"" + std::string(bytes - 4, 'x') + "\"]}";
  };
  EXPECT_TRUE(AddJson(conversation, tools(text::ToolSet::kMostBytes)));
  const Status status = AddJson(conversation, tools(text::ToolSet::kMostBytes + 1));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kInvalidArgument);
  EXPECT_NE(status.error().message.find("1048577 bytes; at most 1048576"), std::string::npos);
}

TEST(Conversation, KnowsWhatItHolds) {
  Conversation conversation;
  EXPECT_EQ(conversation.heap_bytes(), 0u);
  const ConversationJson parts =
      Conversation::Read(
          R"({"messages": [{"role": "user", "content": "a"}, {}], "tools": ["0123456789"]})")
          .value();
  EXPECT_GE(Conversation::HeapBytes(parts), 2 * sizeof(std::string) + 40);
  conversation.Add(parts);
  EXPECT_EQ(conversation.heap_bytes(), Conversation::HeapBytes(parts));
  const uint64_t held = conversation.heap_bytes();
  AddMessage(conversation, "user", std::string(1000, 'x'));
  EXPECT_GE(conversation.heap_bytes(), held + 1000);
  conversation.KeepMessages(2);
  EXPECT_EQ(conversation.heap_bytes(), held);
}

TEST(Conversation, MessagesCanBeTakenBack) {
  Conversation conversation;
  AddMessage(conversation, "user", "a");
  AddMessage(conversation, "assistant", "b");
  conversation.KeepMessages(1);
  EXPECT_EQ(conversation.message_count(), 1u);
  conversation.KeepMessages(5);
  EXPECT_EQ(conversation.message_count(), 1u);
}

}  // namespace
}  // namespace mirage::session
