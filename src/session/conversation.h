// SPDX-License-Identifier: Apache-2.0
#pragma once

// Conversation: messages, tools and variables, as a session collects them for its chat template.
//
// Its outer form is the JSON that text::ChatTemplate renders. It keeps text, not a tree of values,
// so that giving it up needs no memory. One thread at a time.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage::session {

struct AnswerMessage;
struct ConversationJson;

class Conversation {
 public:
  static constexpr size_t kMaxJsonBytes = size_t{64} << 20;
  static constexpr int kMaxJsonDepth = 64;  // of arrays and objects

  // Bytes of `content` that are not UTF-8 become U+FFFD.
  [[nodiscard]] static ConversationJson OneMessage(std::string_view role, std::string_view content);
  // What a tool gave for a call.
  [[nodiscard]] static ConversationJson OneToolResult(std::string_view call_id,
                                                      std::string_view name,
                                                      std::string_view content);
  // The assistant's.
  [[nodiscard]] static ConversationJson OneAnswer(const AnswerMessage& answer);
  // {"messages": [objects], "tools", "documents", "vars"}. kInvalidArgument.
  [[nodiscard]] static Result<ConversationJson> Read(std::string_view json);
  // Adds the messages, replaces the others where given. All or nothing.
  void Add(ConversationJson parts);
  void KeepMessages(size_t count);
  [[nodiscard]] size_t message_count() const { return messages_.size(); }

  // About what it holds, and what parts add to that.
  [[nodiscard]] uint64_t heap_bytes() const;
  [[nodiscard]] static uint64_t HeapBytes(const ConversationJson& parts);

  // What Read and Add make the same conversation of.
  [[nodiscard]] std::string Saved() const { return Write(0, 0, "}"); }
  // For a template that is to write the next answer.
  [[nodiscard]] std::string ToJson() const { return TurnsToJson(SystemMessages()); }

  // The tools' JSON; "" when there are none.
  [[nodiscard]] const std::string& tools() const { return extras_[0]; }

  // How many messages of the system's (or developer's) it begins with.
  [[nodiscard]] size_t SystemMessages() const;
  // The user's messages after the first turn: where what comes before may be left out, but for the
  // system's.
  [[nodiscard]] std::vector<size_t> LaterTurns() const;
  // The system's messages and those from `begin` on, for a template that is to write the next
  // answer.
  [[nodiscard]] std::string TurnsToJson(size_t begin) const {
    return Write(SystemMessages(), begin, R"(,"add_generation_prompt":true})");
  }
  // The first `count` messages, with no answer to be written.
  [[nodiscard]] std::string BeginningToJson(size_t count) const {
    return Write(count, message_count(), "}");
  }

  struct Message {
    std::string json;  // an object
    std::string role;  // "" where there is none
  };

  static constexpr std::array<std::string_view, 3> kExtras = {"tools", "documents", "vars"};

 private:
  // Without messages [left_out, begin).
  [[nodiscard]] std::string Write(size_t left_out, size_t begin, std::string_view end) const;

  std::vector<Message> messages_;
  uint64_t message_bytes_ = 0;                      // that these hold
  std::array<std::string, kExtras.size()> extras_;  // JSON; empty: not given
};

}  // namespace mirage::session
