// SPDX-License-Identifier: Apache-2.0

// Any bytes as a model's answer: the same pieces however it is cut, and calls whose arguments every
// reader of messages takes.
//
// An input is a letter for the format ('A' for the first), one for where it is cut, and the answer.
// In it the byte 0x01 stands before and after the spelling of a control token.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/require.h"
#include "text/answer/answer_parser.h"
#include "text/answer/json_scanner.h"
#include "text/unicode.h"

namespace mirage::text {
namespace {

constexpr char kControl = '\x01';

std::vector<AnswerPiece> Parse(const AnswerOptions& options, std::string_view text, size_t cut,
                               bool whole) {
  AnswerParser parser(options);
  std::vector<AnswerPiece> pieces;
  bool control = false;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(kControl));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    if (control) {
      parser.PushControl(part, &pieces);
    } else {
      for (size_t at = 0; at < part.size(); at += cut) parser.Push(part.substr(at, cut), &pieces);
    }
    control = !control;
  }
  parser.End(whole, &pieces);
  return pieces;
}

void Check(const std::vector<AnswerPiece>& pieces, size_t bytes) {
  size_t text = 0;
  for (const AnswerPiece& piece : pieces) {
    text += piece.text.size();
    const bool call = piece.kind == AnswerPiece::Kind::kToolCall;
    Require(call == piece.text.empty(), "a piece is text or a call");
    if (!call) continue;
    Require(!piece.call.id.empty() && IsToolName(piece.call.name), "a call has an id and a name");
    Require(IsSafeObject(piece.call.arguments), "arguments are a JSON object");
    Require(MembersOf(piece.call.arguments).has_value() ||
                piece.call.arguments.size() > JsonScanner::kMostMembers,
            "arguments can be followed");
  }
  Require(text <= 2 * bytes, "text is not made up");
}

}  // namespace
}  // namespace mirage::text

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  using namespace mirage::text;  // NOLINT
  if (bytes < 2) return 0;
  AnswerOptions options;
  options.format = AnswerFormatOf(static_cast<CallFormat>(2 + (data[0] - 'A') % 9u));
  options.in_reasoning = data[0] >= 'a' && !options.format.marks_all();
  options.calls = data[1] != '-';
  const size_t cut = 1 + data[1] % 7;
  std::string text(reinterpret_cast<const char*>(data) + 2, bytes - 2);
  text = RepairUtf8(text).value_or(text);
  const std::vector<AnswerPiece> whole = Parse(options, text, text.size() + 1, true);
  Check(whole, text.size());
  Check(Parse(options, text, cut, false), text.size());
  const std::vector<AnswerPiece> parts = Parse(options, text, cut, true);
  mirage::Require(whole.size() == parts.size(), "the same pieces however it is cut");
  for (size_t i = 0; i < whole.size(); ++i)
    mirage::Require(whole[i].kind == parts[i].kind && whole[i].text == parts[i].text &&
                        whole[i].call.name == parts[i].call.name &&
                        whole[i].call.arguments == parts[i].call.arguments,
                    "the same pieces however it is cut");
  return 0;
}
