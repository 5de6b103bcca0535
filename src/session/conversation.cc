// SPDX-License-Identifier: Apache-2.0

#include "session/conversation.h"

#include <utility>

#include "session/deep.h"

namespace mirage::session {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExtras[] = {"tools", "documents", "vars"};

bool IsExtra(const std::string& key) {
  for (const char* extra : kExtras)
    if (key == extra) return true;
  return false;
}

// The library parses any depth and then overflows the stack when the value is copied.
Result<Json> ParseBounded(std::string_view text) {
  if (text.size() > Conversation::kMaxJsonBytes)
    return Fail(Code::kInvalidArgument,
                "a conversation of " + std::to_string(text.size()) + " bytes; at most " +
                    std::to_string(Conversation::kMaxJsonBytes) + " are allowed");
  bool too_deep = false;
  Json parsed = Json::parse(
      text,
      [&](int depth, Json::parse_event_t, Json&) {
        too_deep = too_deep || depth > Conversation::kMaxJsonDepth;
        return !too_deep;
      },
      false);
  if (too_deep)
    return Fail(Code::kInvalidArgument, "the conversation's JSON is nested more than " +
                                            std::to_string(Conversation::kMaxJsonDepth) + " deep");
  if (!parsed.is_object())
    return Fail(Code::kInvalidArgument, "the conversation is not a JSON object");
  return parsed;
}

Status CheckMessages(const Json& messages) {
  if (!messages.is_array())
    return Fail(Code::kInvalidArgument, "the conversation's 'messages' is not an array");
  for (size_t i = 0; i < messages.size(); ++i)
    if (!messages[i].is_object())
      return Fail(Code::kInvalidArgument,
                  "the conversation's message " + std::to_string(i) + " is not an object");
  return {};
}

// null is as good as absent.
Status CheckExtra(const std::string& key, const Json& value) {
  const bool variables = key == "vars";
  if (value.is_null() || (variables ? value.is_object() : value.is_array())) return {};
  return Fail(Code::kInvalidArgument,
              "the conversation's '" + key + "' is not an " + (variables ? "object" : "array"));
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void Conversation::AddMessage(std::string_view role, std::string_view content) {
  messages_.push_back({{"role", role}, {"content", content}});
}

Status Conversation::AddJson(std::string_view json) {
  return Deep([&] { return AddParsed(json); });
}

Status Conversation::AddParsed(std::string_view json) {
  MIRAGE_TRY_ASSIGN(Json parsed, ParseBounded(json));
  for (const auto& [key, value] : parsed.items()) {
    if (key == "messages")
      MIRAGE_TRY(CheckMessages(value));
    else if (IsExtra(key))
      MIRAGE_TRY(CheckExtra(key, value));
    else
      return Fail(Code::kInvalidArgument,
                  "the conversation has the key '" + key +
                      "'; messages, tools, documents and vars can be added to a session");
  }
  for (auto& [key, value] : parsed.items()) {
    if (key != "messages") {
      extras_[key] = std::move(value);
      continue;
    }
    for (Json& message : value) messages_.push_back(std::move(message));
  }
  return {};
}

void Conversation::KeepMessages(size_t count) {
  if (count < messages_.size())
    messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(count), messages_.end());
}

std::string Conversation::Saved() const {
  return Deep([&] { return Dump(Whole()); });
}

std::string Conversation::ToJson() const {
  return Deep([&] {
    Json whole = Whole();
    whole["add_generation_prompt"] = true;
    return Dump(whole);
  });
}

nlohmann::ordered_json Conversation::Whole() const {
  Json whole = {{"messages", messages_}};
  whole.update(extras_);
  return whole;
}

}  // namespace mirage::session
