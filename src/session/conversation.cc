// SPDX-License-Identifier: Apache-2.0

#include "session/conversation.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "session/conversation_reader.h"

namespace mirage::session {

void Conversation::AddMessage(std::string_view role, std::string_view content) {
  std::string message = R"({"role":)";
  AppendJsonString(message, role);
  message += R"(,"content":)";
  AppendJsonString(message, content);
  message += '}';
  messages_.push_back(std::move(message));
}

Status Conversation::AddJson(std::string_view json) {
  if (json.size() > kMaxJsonBytes)
    return Fail(Code::kInvalidArgument, "a conversation of " + std::to_string(json.size()) +
                                            " bytes; at most " + std::to_string(kMaxJsonBytes) +
                                            " are allowed");
  MIRAGE_TRY_ASSIGN(ConversationJson read, ReadConversationJson(json));
  messages_.reserve(messages_.size() + read.messages.size());  // nothing fails after this
  std::move(read.messages.begin(), read.messages.end(), std::back_inserter(messages_));
  for (size_t i = 0; i < kExtras.size(); ++i)
    if (read.extras[i].has_value()) extras_[i] = *std::move(read.extras[i]);
  return {};
}

void Conversation::KeepMessages(size_t count) {
  if (count < messages_.size())
    messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(count), messages_.end());
}

std::string Conversation::Whole(std::string_view end) const {
  std::string whole = R"({"messages":[)";
  for (size_t i = 0; i < messages_.size(); ++i) {
    if (i > 0) whole += ',';
    whole += messages_[i];
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
