// SPDX-License-Identifier: Apache-2.0
#pragma once

// Conversation: messages, tools and variables, as a session collects them for its chat template.
//
// Its outer form is the JSON that text::ChatTemplate renders. It keeps text, not a tree of values,
// so that giving it up needs no memory. One thread at a time.

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage::session {

class Conversation {
 public:
  static constexpr size_t kMaxJsonBytes = size_t{64} << 20;
  static constexpr int kMaxJsonDepth = 64;  // of arrays and objects

  // Bytes of `content` that are not UTF-8 become U+FFFD.
  void AddMessage(std::string_view role, std::string_view content);
  // {"messages": [objects], "tools", "documents", "vars"}: adds the messages, replaces the others
  // where given. kInvalidArgument changes nothing.
  [[nodiscard]] Status AddJson(std::string_view json);
  void KeepMessages(size_t count);
  [[nodiscard]] size_t message_count() const { return messages_.size(); }

  // What AddJson makes the same conversation of.
  [[nodiscard]] std::string Saved() const { return Whole("}"); }
  // For a template that is to write the next answer.
  [[nodiscard]] std::string ToJson() const { return Whole(R"(,"add_generation_prompt":true})"); }

  static constexpr std::array<std::string_view, 3> kExtras = {"tools", "documents", "vars"};

 private:
  [[nodiscard]] std::string Whole(std::string_view end) const;

  std::vector<std::string> messages_;               // each a JSON object
  std::array<std::string, kExtras.size()> extras_;  // JSON; empty: not given
};

}  // namespace mirage::session
