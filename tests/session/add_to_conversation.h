// SPDX-License-Identifier: Apache-2.0
#pragma once

// Messages into a Conversation, as sessions put them there.

#include <string_view>
#include <utility>

#include "session/conversation_reader.h"

namespace mirage::session {

inline void AddMessage(Conversation& conversation, std::string_view role,
                       std::string_view content) {
  conversation.Add(Conversation::OneMessage(role, content));
}

[[nodiscard]] inline Status AddJson(Conversation& conversation, std::string_view json) {
  MIRAGE_TRY_ASSIGN(ConversationJson parts, Conversation::Read(json));
  conversation.Add(std::move(parts));
  return {};
}

}  // namespace mirage::session
