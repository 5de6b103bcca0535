// SPDX-License-Identifier: Apache-2.0

// Calls in a section of their own: DeepSeek's, of either age, and Kimi K2's.
//
//   <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather
//   ```json
//   {"city": "Paris"}
//   ```<｜tool▁call▁end｜><｜tool▁calls▁end｜>
//
//   <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city":
//   "Paris"}<｜tool▁call▁end｜>...
//
//   <|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0
//   <|tool_call_argument_begin|>{"city": "Paris"}<|tool_call_end|><|tool_calls_section_end|>

#include <array>

#include "text/answer/call_reader.h"
#include "text/answer/piece_writer.h"

namespace mirage::text {
namespace {

enum Word : size_t { kSection, kSectionEnd, kCall, kCallEnd, kArguments, kWordsOfOne };
constexpr std::array<std::string_view, 2 * kWordsOfOne> kWords = {
    "<｜tool▁calls▁begin｜>",      "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",         "<｜tool▁sep｜>",       "<|tool_calls_section_begin|>",
    "<|tool_calls_section_end|>",  "<|tool_call_begin|>",  "<|tool_call_end|>",
    "<|tool_call_argument_begin|>"};

class SectionReader final : public CallReader {
 public:
  SectionReader(const std::string& held, const ToolSet& tools)
      : CallReader(held, tools), object_(held) {}

  void Begin(size_t opener) override {
    state_ = opener % kWordsOfOne == kCall ? State::kHeader : State::kBetween;
    name_.begin = held().size();
  }

  Verdict Byte(char c) override {
    switch (state_) {
      case State::kBetween:
        return IsJsonSpace(c) ? Verdict::kMore : Verdict::kNot;
      case State::kHeader:
        return IsToolNameByte(c) || IsJsonSpace(c) ? Verdict::kMore : Verdict::kNot;
      case State::kBody:
        if (c == '{') return BeginObject();
        if (IsJsonSpace(c)) return Verdict::kMore;
        name_.begin = held().size() - 1;
        state_ = State::kNameLine;
        return IsToolNameByte(c) ? Verdict::kMore : Verdict::kNot;
      case State::kNameLine:
        name_.end = held().size() - 1;
        if (c == '\n') state_ = State::kFence;
        return IsToolNameByte(c) || IsJsonSpace(c) ? Verdict::kMore : Verdict::kNot;
      case State::kFence:  // ```json
        if (c == '{') return BeginObject();
        return IsToolNameByte(c) || IsJsonSpace(c) || c == '`' ? Verdict::kMore : Verdict::kNot;
      case State::kObject:
        return FollowObject();
      case State::kClosing:
        return IsJsonSpace(c) || c == '`' ? Verdict::kMore : Verdict::kNot;
    }
    return Verdict::kNot;
  }

  Verdict Marker(size_t index) override {
    const Word word = static_cast<Word>(index % kWordsOfOne);
    const size_t before = held().size() - kWords[index].size();
    switch (state_) {
      case State::kBetween:
        if (word == kSectionEnd) return Verdict::kEnded;
        if (word != kCall) return Verdict::kNot;
        state_ = State::kHeader;
        name_.begin = held().size();
        return Verdict::kMore;
      case State::kHeader:
        if (word != kArguments) return Verdict::kNot;
        name_.end = before;
        id_ = {};
        if (index >= kWordsOfOne) SplitNumberedName();
        state_ = State::kBody;
        return Verdict::kMore;
      case State::kObject:
        return FollowObject();
      case State::kClosing:
        if (word != kCallEnd) return Verdict::kNot;
        state_ = State::kBetween;
        return Verdict::kRead;
      case State::kBody:
      case State::kNameLine:
      case State::kFence:
        break;
    }
    return Verdict::kNot;
  }

  Verdict End(bool /*whole*/) override {
    const bool whole =
        state_ == State::kClosing || (state_ == State::kBetween && Trim(held()).empty());
    return whole ? Verdict::kRead : Verdict::kNot;
  }

 private:
  enum class State { kBetween, kHeader, kBody, kNameLine, kFence, kObject, kClosing };

  // functions.get_weather:0, which is the call's id.
  void SplitNumberedName() {
    constexpr std::string_view kPrefix = "functions.";
    const std::string_view header = Trim(name_.Of(held()));
    const size_t begin = static_cast<size_t>(header.data() - held().data());
    id_ = {begin, begin + header.size()};
    name_ = id_;
    if (const size_t colon = header.rfind(':'); colon != std::string_view::npos)
      name_.end = begin + colon;
    if (header.starts_with(kPrefix)) name_.begin += kPrefix.size();
    if (name_.begin > name_.end) name_.begin = name_.end;
  }

  Verdict BeginObject() {
    state_ = State::kObject;
    object_.Begin();
    return FollowObject();
  }

  Verdict FollowObject() {
    const JsonScanner::State state = object_.Follow();
    if (state == JsonScanner::State::kMore) return Verdict::kMore;
    if (state == JsonScanner::State::kWrong) return Verdict::kNot;
    state_ = State::kClosing;
    return AddCall(Trim(name_.Of(held())), object_.text(), id_.Of(held()));
  }

  State state_ = State::kBetween;
  JsonScanner::Span name_, id_;
  HeldObject object_;
};

}  // namespace

const CallSyntax& SectionCalls() {
  static constexpr uint32_t kOpeners =
      1u << kSection | 1u << kCall | 1u << (kWordsOfOne + kSection) | 1u << (kWordsOfOne + kCall);
  static constexpr CallSyntax kSyntax = {
      kWords, kOpeners, false, false,
      [](const std::string& held, const ToolSet& tools) -> std::unique_ptr<CallReader> {
        return std::make_unique<SectionReader>(held, tools);
      }};
  return kSyntax;
}

}  // namespace mirage::text
