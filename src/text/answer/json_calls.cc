// SPDX-License-Identifier: Apache-2.0

// Calls as JSON between tags: Hermes, Qwen 2.5 and 3, and others that differ in the tags alone.
//
//   <tool_call>
//   {"name": "get_weather", "arguments": {"city": "Paris"}}
//   </tool_call>

#include "text/answer/json_calls.h"

#include <array>

#include "text/answer/piece_writer.h"

namespace mirage::text {
namespace {

constexpr std::array<std::string_view, 5> kTags = {"<tool_call>", "</tool_call>", "<TOOLCALL>",
                                                   "</TOOLCALL>", "<|tool_call|>"};
constexpr uint32_t kOpeners = 0b10101;
constexpr uint32_t kEnders = 0b01010;

}  // namespace

void JsonCallsReader::Begin(size_t) {
  state_ = State::kStart;
  list_ = false;
}

void JsonCallsReader::BeginObject() {
  state_ = State::kObject;
  object_.Begin();
}

Verdict JsonCallsReader::FollowObject() {
  switch (object_.Follow()) {
    case JsonScanner::State::kMore:
      return Verdict::kMore;
    case JsonScanner::State::kWrong:
      return Verdict::kNot;
    case JsonScanner::State::kDone:
      break;
  }
  ToolCall call;
  if (!ReadCallObject(object_.text(), &call)) return Verdict::kNot;
  state_ = list_ ? State::kSeparator : State::kClosing;
  return AddCall(std::move(call));
}

Verdict JsonCallsReader::Byte(char c) {
  if (state_ == State::kObject) return FollowObject();
  if (IsJsonSpace(c)) return Verdict::kMore;
  if (state_ == State::kSeparator && c == ',') {
    state_ = State::kItem;
    return Verdict::kMore;
  }
  if (list_ && state_ != State::kClosing && c == ']') {
    state_ = State::kClosing;
    return Verdict::kRead;
  }
  if (state_ == State::kStart && c == '[') {
    list_ = true;
    state_ = State::kItem;
    return Verdict::kMore;
  }
  if (c != '{' || state_ == State::kSeparator || (list_ && state_ == State::kClosing))
    return Verdict::kNot;
  BeginObject();
  return FollowObject();
}

Verdict JsonCallsReader::Marker(size_t index) {
  if (state_ == State::kObject) return FollowObject();
  if (state_ == State::kClosing && (enders_ >> index & 1) != 0) return Verdict::kEnded;
  return Verdict::kNot;
}

Verdict JsonCallsReader::End(bool /*whole*/) {
  return state_ == State::kClosing ? Verdict::kRead : Verdict::kNot;
}

const CallSyntax& JsonTagCalls() {
  static constexpr CallSyntax kSyntax = {
      kTags, kOpeners, false, false,
      [](const std::string& held, const ToolSet& tools) -> std::unique_ptr<CallReader> {
        return std::make_unique<JsonCallsReader>(held, tools, kEnders);
      }};
  return kSyntax;
}

}  // namespace mirage::text
