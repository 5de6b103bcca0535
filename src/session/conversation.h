// SPDX-License-Identifier: Apache-2.0
#pragma once

// Conversation: messages, tools and variables, as a session collects them for its chat template.
//
// Its outer form is the JSON that text::ChatTemplate renders. One thread at a time.

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mirage::session {

class Conversation {
 public:
  static constexpr size_t kMaxJsonBytes = size_t{64} << 20;
  static constexpr int kMaxJsonDepth = 64;

  // Bytes of `content` that are not UTF-8 become U+FFFD.
  void AddMessage(std::string_view role, std::string_view content);
  // {"messages": [objects], "tools", "documents", "vars"}: adds the messages, replaces the others
  // where given. kInvalidArgument changes nothing.
  [[nodiscard]] Status AddJson(std::string_view json);
  void KeepMessages(size_t count);
  [[nodiscard]] size_t message_count() const { return messages_.size(); }

  // What AddJson makes the same conversation of.
  [[nodiscard]] std::string Saved() const;
  // For a template that is to write the next answer.
  [[nodiscard]] std::string ToJson() const;

 private:
  [[nodiscard]] Status AddParsed(std::string_view json);
  [[nodiscard]] nlohmann::ordered_json Whole() const;

  nlohmann::ordered_json messages_ = nlohmann::ordered_json::array();
  nlohmann::ordered_json extras_ = nlohmann::ordered_json::object();  // tools, documents, vars
};

}  // namespace mirage::session
