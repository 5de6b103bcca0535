// SPDX-License-Identifier: Apache-2.0
#pragma once

// AnswerMessage: an answer's pieces as the assistant's message in a conversation.
//
// One thread at a time.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer/answer_parser.h"

namespace mirage::session {

struct AnswerMessage {
  std::string content;
  std::string reasoning;
  std::vector<text::ToolCall> calls;

  void Add(const text::AnswerPiece& piece);
  [[nodiscard]] bool empty() const { return content.empty() && reasoning.empty() && calls.empty(); }
  // {"role": "assistant", "content": "...", "reasoning_content": "...", "tool_calls": [{"id": ...,
  // "type": "function", "function": {"name": ..., "arguments": {...}}}]}: of the last two what
  // there is.
  [[nodiscard]] std::string ToJson() const;
};

// All of a text, which nothing has cut short, with its control tokens spelled out. One of `ends`
// that it ends with is no part of it; where there are none, one with which the format ends a turn.
// Bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] AnswerMessage ReadAnswer(std::string_view text, text::AnswerOptions options,
                                       std::span<const std::string_view> ends = {});

}  // namespace mirage::session
