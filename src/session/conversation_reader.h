// SPDX-License-Identifier: Apache-2.0
#pragma once

// ReadConversationJson: a conversation's JSON to the texts a Conversation keeps.
//
// Read event by event, without a tree of values: depth costs no stack, and nothing has to be taken
// apart that would need memory for it. Any thread.

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "session/conversation.h"

namespace mirage::session {

struct ConversationJson {
  std::vector<Conversation::Message> messages;
  std::array<std::optional<std::string>, Conversation::kExtras.size()> extras;  // "" for null
};

// kInvalidArgument for what is not JSON, deeper than Conversation::kMaxJsonDepth, or not of this
// form.
[[nodiscard]] Result<ConversationJson> ReadConversationJson(std::string_view json);

// `text` as a JSON string; bytes that are not UTF-8 become U+FFFD.
void AppendJsonString(std::string& json, std::string_view text);

}  // namespace mirage::session
