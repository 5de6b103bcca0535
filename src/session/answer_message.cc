// SPDX-License-Identifier: Apache-2.0

#include "session/answer_message.h"

#include <optional>
#include <utility>

#include "session/conversation_reader.h"
#include "text/unicode.h"

namespace mirage::session {
namespace {

std::string_view WithoutEnd(std::string_view text, std::span<const std::string_view> ends) {
  const std::string_view trimmed = text.substr(0, text.find_last_not_of(" \n") + 1);
  for (const std::string_view end : ends)
    if (!end.empty() && trimmed.ends_with(end))
      return trimmed.substr(0, trimmed.size() - end.size());
  return text;
}

}  // namespace

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

AnswerMessage ReadAnswer(std::string_view text, text::AnswerOptions options,
                         std::span<const std::string_view> ends) {
  if (options.format.calls != text::CallFormat::kHarmony)  // where they are part of the marks
    text = WithoutEnd(text, ends.empty() ? text::EndsOfTurn(options.format.calls) : ends);
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
