// SPDX-License-Identifier: Apache-2.0

// Calls whose arguments are text between tags: Qwen3-Coder, Qwen 3.5 and others.
//
//   <tool_call>
//   <function=get_weather>
//   <parameter=city>
//   Paris
//   </parameter>
//   </function>
//   </tool_call>
//
// The outer tags may be missing. A value ends at </parameter> where a tag follows it; else these
// words are part of it. It is a string where the tool's schema says so, and where it is no JSON.

#include <array>

#include "text/answer/call_reader.h"
#include "text/answer/piece_writer.h"

namespace mirage::text {
namespace {

constexpr std::array<std::string_view, 8> kTags = {
    "<tool_call>", "</tool_call>", "<function=",       "</function>",
    "<parameter=", "</parameter>", "<seed:tool_call>", "</seed:tool_call>"};
enum : size_t {
  kCallTag,
  kCallEnd,
  kFunction,
  kFunctionEnd,
  kParameter,
  kParameterEnd,
  kSeedTag,
  kSeedEnd
};

// A value as JSON: also as Python spells what JSON spells otherwise.
std::string ValueAsJson(std::string_view value, bool is_string) {
  const std::string_view trimmed = Trim(value);
  if (!is_string) {
    if (trimmed == "True") return "true";
    if (trimmed == "False") return "false";
    if (trimmed == "None") return "null";
    std::string json = EscapeControls(trimmed);
    if (IsSafeJson(json)) return json;
  }
  std::string quoted;
  AppendQuoted(value, &quoted);
  return quoted;
}

class XmlReader final : public CallReader {
 public:
  using CallReader::CallReader;

  void Begin(size_t opener) override {
    if (opener == kFunction)
      static_cast<void>(BeginName(State::kFunctionName));
    else
      state_ = State::kStart;
    arguments_.assign(1, '{');
  }

  Verdict Byte(char c) override {
    switch (state_) {
      case State::kFunctionName:
      case State::kParameterName:
        return FollowName(c);
      case State::kValue:
        return Verdict::kMore;
      case State::kAfterValue:
        if (!IsJsonSpace(c)) state_ = State::kValue;  // it was part of the value
        return Verdict::kMore;
      case State::kStart:
      case State::kParameters:
      case State::kClosing:
        break;
    }
    return IsJsonSpace(c) ? Verdict::kMore : Verdict::kNot;
  }

  Verdict Marker(size_t index) override {
    const size_t before = held().size() - kTags[index].size();
    switch (state_) {
      case State::kStart:
        if (index != kFunction) return Verdict::kNot;
        return BeginName(State::kFunctionName);
      case State::kParameters:
        return AfterParameter(index);
      case State::kValue:
        if (index != kParameterEnd) return Verdict::kMore;
        value_.end = before;
        state_ = State::kAfterValue;
        return Verdict::kMore;
      case State::kAfterValue:
        if (index == kParameterEnd) {
          value_.end = before;
          return Verdict::kMore;
        }
        if (index != kParameter && index != kFunctionEnd) {
          state_ = State::kValue;
          return Verdict::kMore;
        }
        AddParameter();
        return AfterParameter(index);
      case State::kClosing:
        if (index == kCallEnd || index == kSeedEnd) return Verdict::kEnded;
        break;
      case State::kFunctionName:
      case State::kParameterName:
        break;
    }
    return Verdict::kNot;
  }

  Verdict End(bool /*whole*/) override {
    return state_ == State::kClosing ? Verdict::kRead : Verdict::kNot;
  }

 private:
  enum class State {
    kStart,
    kFunctionName,
    kParameters,
    kParameterName,
    kValue,
    kAfterValue,
    kClosing
  };

  Verdict BeginName(State state) {
    state_ = state;
    (state == State::kFunctionName ? function_ : parameter_).begin = held().size();
    return Verdict::kMore;
  }

  Verdict FollowName(char c) {
    const bool function = state_ == State::kFunctionName;
    JsonScanner::Span& name = function ? function_ : parameter_;
    name.end = held().size() - 1;
    if (c == '>') {
      if (!IsToolName(name.Of(held()))) return Verdict::kNot;
      state_ = function ? State::kParameters : State::kValue;
      value_.begin = held().size();
      return Verdict::kMore;
    }
    return IsToolNameByte(c) ? Verdict::kMore : Verdict::kNot;
  }

  Verdict AfterParameter(size_t index) {
    if (index == kParameter) return BeginName(State::kParameterName);
    if (index != kFunctionEnd) return Verdict::kNot;
    state_ = State::kClosing;
    arguments_ += '}';
    return AddCall(function_.Of(held()), arguments_);
  }

  // Without the line breaks next to the tags.
  void AddParameter() {
    std::string_view value = value_.Of(held());
    if (value.starts_with('\n')) value.remove_prefix(1);
    if (value.ends_with('\n')) value.remove_suffix(1);
    const std::string_view name = parameter_.Of(held());
    if (arguments_.size() > 1) arguments_ += ", ";
    AppendQuoted(name, &arguments_);
    arguments_ += ": ";
    arguments_ += ValueAsJson(value, tools().TakesString(function_.Of(held()), name));
  }

  State state_ = State::kStart;
  JsonScanner::Span function_, parameter_, value_;
  std::string arguments_;
};

}  // namespace

const CallSyntax& XmlCalls() {
  static constexpr CallSyntax kSyntax = {
      kTags, 1u << kCallTag | 1u << kFunction | 1u << kSeedTag, false, false,
      [](const std::string& held, const ToolSet& tools) -> std::unique_ptr<CallReader> {
        return std::make_unique<XmlReader>(held, tools);
      }};
  return kSyntax;
}

}  // namespace mirage::text
