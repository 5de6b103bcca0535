// SPDX-License-Identifier: Apache-2.0

#include "session/answer_message.h"

#include <optional>
#include <utility>

#include "session/conversation_reader.h"
#include "text/unicode.h"

namespace mirage::session {

void AnswerMessage::Add(const text::AnswerPiece& piece) {
  switch (piece.kind) {
    case text::AnswerPiece::Kind::kContent:
      content += piece.text;
      break;
    case text::AnswerPiece::Kind::kReasoning:
      reasoning += piece.text;
      break;
    case text::AnswerPiece::Kind::kToolCall:
      calls.push_back(piece.call);
      break;
  }
}

std::string AnswerMessage::ToJson() const {
  std::string json = R"({"role":"assistant","content":)";
  AppendJsonString(json, content);
  if (!reasoning.empty()) {
    json += R"(,"reasoning_content":)";
    AppendJsonString(json, reasoning);
  }
  if (!calls.empty()) {
    json += R"(,"tool_calls":[)";
    for (const text::ToolCall& call : calls) {
      if (json.back() != '[') json += ',';
      json += R"({"id":)";
      AppendJsonString(json, call.id);
      json += R"(,"type":"function","function":{"name":)";
      AppendJsonString(json, call.name);
      json += R"(,"arguments":)" + call.arguments + "}}";
    }
    json += ']';
  }
  json += '}';
  return json;
}

AnswerMessage ReadAnswer(std::string_view text, text::AnswerOptions options) {
  const std::optional<std::string> repaired = text::RepairUtf8(text);
  std::vector<text::AnswerPiece> pieces;
  text::AnswerParser parser(std::move(options));
  parser.Push(repaired.has_value() ? std::string_view(*repaired) : text, &pieces);
  parser.End(true, &pieces);
  AnswerMessage message;
  for (const text::AnswerPiece& piece : pieces) message.Add(piece);
  return message;
}

}  // namespace mirage::session
