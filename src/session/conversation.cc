// SPDX-License-Identifier: Apache-2.0

#include "session/conversation.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "session/answer_message.h"
#include "session/conversation_reader.h"

namespace mirage::session {
namespace {

// With what the allocator adds to its bytes, and a vector that doubles to its entries.
uint64_t MessageBytes(const Conversation::Message& message) {
  return message.json.size() + message.role.size() + 16 + 2 * sizeof(message);
}

using Field = std::pair<std::string_view, std::string_view>;

// A message of these fields, the first of which is its role.
ConversationJson OfFields(std::initializer_list<Field> fields) {
  std::string message = "{";
  for (const auto& [name, value] : fields) {
    if (message.size() > 1) message += ',';
    AppendJsonString(message, name);
    message += ':';
    AppendJsonString(message, value);
  }
  message += '}';
  ConversationJson parts;
  parts.messages.push_back({std::move(message), std::string(fields.begin()->second)});
  return parts;
}

}  // namespace

ConversationJson Conversation::OneMessage(std::string_view role, std::string_view content) {
  return OfFields({{"role", role}, {"content", content}});
}

ConversationJson Conversation::OneToolResult(std::string_view call_id, std::string_view name,
                                             std::string_view content) {
  return OfFields(
      {{"role", "tool"}, {"tool_call_id", call_id}, {"name", name}, {"content", content}});
}

ConversationJson Conversation::OneAnswer(const AnswerMessage& answer) {
  ConversationJson parts;
  parts.messages.push_back({answer.ToJson(), "assistant"});
  return parts;
}

Result<ConversationJson> Conversation::Read(std::string_view json) {
  if (json.size() > kMaxJsonBytes)
    return Fail(Code::kInvalidArgument, "a conversation of " + std::to_string(json.size()) +
                                            " bytes; at most " + std::to_string(kMaxJsonBytes) +
                                            " are allowed");
  return ReadConversationJson(json);
}

void Conversation::Add(ConversationJson parts) {
  const size_t count = messages_.size() + parts.messages.size();
  if (count > messages_.capacity()) messages_.reserve(std::max(count, 2 * messages_.capacity()));
  // Nothing fails after this.
  for (Message& message : parts.messages) {
    message_bytes_ += MessageBytes(message);
    messages_.push_back(std::move(message));
  }
  for (size_t i = 0; i < kExtras.size(); ++i)
    if (parts.extras[i].has_value()) extras_[i] = *std::move(parts.extras[i]);
}

void Conversation::KeepMessages(size_t count) {
  for (; messages_.size() > count; messages_.pop_back())
    message_bytes_ -= MessageBytes(messages_.back());
}

uint64_t Conversation::heap_bytes() const {
  uint64_t bytes = message_bytes_;
  for (const std::string& extra : extras_) bytes += extra.size();
  return bytes;
}

uint64_t Conversation::HeapBytes(const ConversationJson& parts) {
  uint64_t bytes = 0;
  for (const Message& message : parts.messages) bytes += MessageBytes(message);
  for (const std::optional<std::string>& extra : parts.extras)
    if (extra.has_value()) bytes += extra->size();
  return bytes;
}

size_t Conversation::SystemMessages() const {
  const auto end = std::find_if(messages_.begin(), messages_.end(), [](const Message& message) {
    return message.role != "system" && message.role != "developer";
  });
  return static_cast<size_t>(end - messages_.begin());
}

std::vector<size_t> Conversation::LaterTurns() const {
  std::vector<size_t> begins;
  for (size_t i = SystemMessages() + 1; i < messages_.size(); ++i)
    if (messages_[i].role == "user") begins.push_back(i);
  return begins;
}

std::string Conversation::Write(size_t left_out, size_t begin, std::string_view end) const {
  std::string whole = R"({"messages":[)";
  for (size_t i = 0; i < messages_.size(); ++i) {
    if (i >= left_out && i < begin) continue;
    if (whole.back() != '[') whole += ',';
    whole += messages_[i].json;
  }
  whole += ']';
  for (size_t i = 0; i < kExtras.size(); ++i) {
    if (extras_[i].empty()) continue;
    whole += ",\"";
    whole += kExtras[i];
    whole += "\":";
    whole += extras_[i];
  }
  whole += end;
  return whole;
}

}  // namespace mirage::session
