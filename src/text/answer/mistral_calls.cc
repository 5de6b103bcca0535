// SPDX-License-Identifier: Apache-2.0

// Mistral's calls, of either age. The call's id stands in them, or not.
//
//   [TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "a1B2c3D4e"}]
//   [TOOL_CALLS]get_weather[CALL_ID]a1B2c3D4e[ARGS]{"city": "Paris"}

#include <array>

#include "text/answer/json_calls.h"
#include "text/answer/piece_writer.h"

namespace mirage::text {
namespace {

constexpr std::array<std::string_view, 3> kWords = {"[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"};
enum : size_t { kToolCalls, kCallId, kArgs };

class MistralReader final : public CallReader {
 public:
  MistralReader(const std::string& held, const ToolSet& tools)
      : CallReader(held, tools), list_(held, tools, 0), object_(held) {}

  void Begin(size_t opener) override {
    state_ = State::kStart;
    list_.Begin(opener);
    id_ = {};
  }

  Verdict Byte(char c) override {
    switch (state_) {
      case State::kStart:
        if (IsJsonSpace(c)) return Verdict::kMore;
        if (c == '[' || c == '{') {
          state_ = State::kList;
          return FromList(list_.Byte(c));
        }
        name_.begin = held().size() - 1;
        state_ = State::kName;
        return IsToolNameByte(c) ? Verdict::kMore : Verdict::kNot;
      case State::kList:
        return FromList(list_.Byte(c));
      case State::kName:
        if (c == '{') {
          name_.end = held().size() - 1;
          return BeginObject();
        }
        return IsToolNameByte(c) || IsJsonSpace(c) ? Verdict::kMore : Verdict::kNot;
      case State::kId:
        return IsToolNameByte(c) ? Verdict::kMore : Verdict::kNot;
      case State::kArguments:
        if (c == '{') return BeginObject();
        return IsJsonSpace(c) ? Verdict::kMore : Verdict::kNot;
      case State::kObject:
        return FollowObject();
    }
    return Verdict::kNot;
  }

  Verdict Marker(size_t index) override {
    if (state_ == State::kList) return FromList(list_.Marker(index));
    if (state_ == State::kObject) return FollowObject();
    const size_t end = held().size() - kWords[index].size();
    if (state_ == State::kName && index != kToolCalls) {
      name_.end = end;
      id_ = {held().size(), held().size()};
      state_ = index == kCallId ? State::kId : State::kArguments;
      return Verdict::kMore;
    }
    if (state_ == State::kId && index == kArgs) {
      id_.end = end;
      state_ = State::kArguments;
      return Verdict::kMore;
    }
    return Verdict::kNot;
  }

  Verdict End(bool whole) override {
    return state_ == State::kList ? list_.End(whole) : Verdict::kNot;
  }

 private:
  enum class State { kStart, kList, kName, kId, kArguments, kObject };

  Verdict FromList(Verdict verdict) {
    for (ToolCall& call : list_.TakeCalls()) static_cast<void>(AddCall(std::move(call)));
    return verdict;
  }

  Verdict BeginObject() {
    state_ = State::kObject;
    object_.Begin();
    return FollowObject();
  }

  Verdict FollowObject() {
    const JsonScanner::State state = object_.Follow();
    if (state == JsonScanner::State::kMore) return Verdict::kMore;
    if (state == JsonScanner::State::kWrong ||
        AddCall(Trim(name_.Of(held())), object_.text(), id_.Of(held())) == Verdict::kNot)
      return Verdict::kNot;
    return Verdict::kEnded;
  }

  State state_ = State::kStart;
  JsonCallsReader list_;
  JsonScanner::Span name_, id_;
  HeldObject object_;
};

}  // namespace

const CallSyntax& MistralCalls() {
  static constexpr CallSyntax kSyntax = {
      kWords, 1u << kToolCalls, false, false,
      [](const std::string& held, const ToolSet& tools) -> std::unique_ptr<CallReader> {
        return std::make_unique<MistralReader>(held, tools);
      }};
  return kSyntax;
}

}  // namespace mirage::text
