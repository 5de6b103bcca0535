// SPDX-License-Identifier: Apache-2.0

// Functionary 3.2: every part of an answer names who it is for.
//
//   >>>all
//   I look it up.>>>get_weather
//   {"city": "Paris"}
//
// The first >>> stands at the end of the prompt. What is for python may be code instead of JSON,
// and is then all that follows.

#include <array>

#include "text/answer/call_reader.h"
#include "text/answer/piece_writer.h"

namespace mirage::text {
namespace {

constexpr std::array<std::string_view, 1> kWords = {">>>"};

class RecipientReader final : public CallReader {
 public:
  RecipientReader(const std::string& held, const ToolSet& tools)
      : CallReader(held, tools), object_(held) {}

  void Begin(size_t) override {
    state_ = State::kRecipient;
    name_.begin = held().size();
  }

  Verdict Byte(char c) override {
    switch (state_) {
      case State::kRecipient:
        if (c == '\n') return EndRecipient();
        return IsToolNameByte(c) ? Verdict::kMore : Verdict::kNot;
      case State::kBody:
        if (IsJsonSpace(c)) return Verdict::kMore;
        if (c == '{') {
          state_ = State::kObject;
          object_.Begin();
          return FollowObject();
        }
        return NoObject();
      case State::kObject:
        return FollowObject();
      case State::kCode:
        return Verdict::kMore;
      case State::kClosing:
        return IsJsonSpace(c) ? Verdict::kMore : Verdict::kNot;
    }
    return Verdict::kNot;
  }

  Verdict Marker(size_t) override {
    switch (state_) {
      case State::kRecipient:  // the first one, if it is not in the prompt
        if (held().size() != kWords[0].size()) return Verdict::kNot;
        name_.begin = held().size();
        return Verdict::kMore;
      case State::kObject:
        return FollowObject();
      case State::kBody:
        return NoObject();
      case State::kCode:
        return Verdict::kMore;
      case State::kClosing:
        break;
    }
    return Verdict::kNot;
  }

  Verdict End(bool whole) override {
    if (state_ == State::kClosing) return Verdict::kRead;
    if (state_ != State::kCode || !whole) return Verdict::kNot;
    return AddCodeCall(Trim(std::string_view(held()).substr(name_.end)));
  }

 private:
  enum class State { kRecipient, kBody, kObject, kCode, kClosing };

  Verdict EndRecipient() {
    name_.end = held().size() - 1;
    const std::string_view name = name_.Of(held());
    if (name == "all") return Verdict::kEnded;
    if (!IsToolName(name) || !(tools().MayBe(name) || name == "python")) return Verdict::kNot;
    state_ = State::kBody;
    return Verdict::kMore;
  }

  Verdict NoObject() {
    if (name_.Of(held()) != "python") return Verdict::kNot;
    state_ = State::kCode;
    return Verdict::kMore;
  }

  Verdict FollowObject() {
    const JsonScanner::State state = object_.Follow();
    if (state == JsonScanner::State::kMore) return Verdict::kMore;
    if (state == JsonScanner::State::kWrong ||
        AddCall(name_.Of(held()), object_.text()) == Verdict::kNot)
      return NoObject();
    state_ = State::kClosing;
    return Verdict::kRead;
  }

  State state_ = State::kRecipient;
  JsonScanner::Span name_;
  HeldObject object_;
};

}  // namespace

const CallSyntax& RecipientCalls() {
  static constexpr CallSyntax kSyntax = {
      kWords, 1, false, true,
      [](const std::string& held, const ToolSet& tools) -> std::unique_ptr<CallReader> {
        return std::make_unique<RecipientReader>(held, tools);
      }};
  return kSyntax;
}

}  // namespace mirage::text
