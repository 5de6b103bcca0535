// SPDX-License-Identifier: Apache-2.0

// The harmony format of gpt-oss. The prompt ends with <|start|>assistant, and then comes
//
//   <|channel|>analysis<|message|>The user asks ...<|end|>
//   <|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json
//   <|message|>{"city": "Paris"}<|call|>
//   <|start|>assistant<|channel|>final<|message|>It rains.<|return|>
//
// What is for the channel analysis is reasoning; what is for a recipient is a call; all else is
// content. A recipient may also stand before the channel. A header that is none is content.

#include <array>
#include <utility>

#include "text/answer/answer_reader.h"

namespace mirage::text {
namespace {

enum Word : size_t { kStart, kChannel, kMessage, kEnd, kCall, kReturn, kConstrain };
constexpr std::array<std::string_view, 7> kWords = {"<|start|>",    "<|channel|>", "<|message|>",
                                                    "<|end|>",      "<|call|>",    "<|return|>",
                                                    "<|constrain|>"};

constexpr size_t kMostHeaderBytes = 512;

bool MayBegin(std::string_view text, std::string_view with) {
  return text.starts_with(with) || with.starts_with(text);
}

class HarmonyReader final : public AnswerReader {
 public:
  explicit HarmonyReader(PieceWriter& writer) : writer_(writer) {}

  [[nodiscard]] std::vector<std::string> markers() const override {
    return {kWords.begin(), kWords.end()};
  }

  void Byte(char c) override {
    switch (state_) {
      case State::kHeader:
        held_ += c;
        if (!MayBeHeader()) GiveUpHeader();
        return;
      case State::kText:
        writer_.Add(c);
        return;
      case State::kCall:
        held_ += c;
        if (held_.size() > kMostCallBytes) GiveUpHeader();
        return;
    }
  }

  void Marker(size_t index, bool control) override {
    const bool ends = index == kEnd || index == kCall || index == kReturn;
    switch (state_) {
      case State::kHeader:
        if (index == kMessage) {
          held_ += kWords[index];
          if (!EndHeader()) GiveUpHeader();
        } else if (ends) {
          GiveUpHeader();
          BeginHeader();
        } else {
          if (index == kStart && !Trim(held_).empty()) GiveUpHeader();
          if (index == kStart) BeginHeader();
          if (index == kChannel) channel_ = held_.size() + kWords[index].size();
          held_ += kWords[index];
          if (held_.size() > kMostHeaderBytes) GiveUpHeader();
        }
        return;
      case State::kText:
      case State::kCall:
        if (ends) {
          EndMessage();
        } else if (index == kStart || index == kChannel) {  // its end is missing
          EndMessage();
          Marker(index, control);
        } else {
          for (const char c : kWords[index]) Byte(c);
        }
        return;
    }
  }

  void End(bool whole) override {
    if (state_ == State::kHeader)
      GiveUpHeader();
    else
      EndMessage(whole);
    writer_.End();
  }

 private:
  enum class State { kHeader, kText, kCall };

  void BeginHeader() {
    state_ = State::kHeader;
    held_.clear();
    channel_ = std::string::npos;
  }

  // As it has come so far: <|start|>, role and recipient; channel, recipient and kind of content.
  [[nodiscard]] bool MayBeHeader() const {
    const char last = held_.back();
    if (held_.size() > kMostHeaderBytes || !(IsToolNameByte(last) || last == ' ' || last == '='))
      return false;
    if (channel_ != std::string::npos) return true;
    std::string_view role = held_;
    if (role.starts_with(kWords[kStart])) role.remove_prefix(kWords[kStart].size());
    role = Trim(role);
    return MayBegin(role, "assistant") || MayBegin(role, "to=");
  }

  // What is held is content, and what follows too.
  void GiveUpHeader() {
    const std::string text = std::exchange(held_, {});
    state_ = State::kText;
    if (Trim(text).empty()) return;
    writer_.BeginMessage(AnswerPiece::Kind::kContent);
    writer_.Add(text);
  }

  // False when it is none after all.
  bool EndHeader() {
    const std::string_view header = held_;
    const std::string_view channel =
        header.substr(std::min(channel_, header.size() - kWords[kMessage].size()));
    const bool reasoning = channel.starts_with("analysis");
    if (channel_ != std::string::npos && !reasoning && !channel.starts_with("commentary") &&
        !channel.starts_with("final"))
      return false;
    recipient_ = {};
    const size_t to = header.find("to=");
    if (to != std::string_view::npos) {
      const size_t begin = to + 3;
      const size_t end = std::min(header.find_first_of(" <\t", begin), header.size());
      recipient_ = header.substr(begin, end - begin);
    }
    if (!recipient_.empty() && recipient_ != "assistant" && recipient_ != "all") {
      state_ = State::kCall;
      body_ = held_.size();
      return true;
    }
    held_.clear();
    state_ = State::kText;
    writer_.BeginMessage(reasoning ? AnswerPiece::Kind::kReasoning : AnswerPiece::Kind::kContent);
    return true;
  }

  // Not `whole`: the answer was cut short in it.
  void EndMessage(bool whole = true) {
    if (state_ == State::kCall && !AddCall(whole)) GiveUpHeader();
    BeginHeader();
  }

  bool AddCall(bool whole) {
    constexpr std::string_view kFunctions = "functions.";
    ToolCall call;
    std::string_view name = recipient_;
    if (name.starts_with(kFunctions)) name.remove_prefix(kFunctions.size());
    if (!IsToolName(name)) return false;
    call.name = name;
    const std::string_view body = Trim(std::string_view(held_).substr(body_));
    call.arguments = EscapeControls(body);
    if (!IsSafeObject(call.arguments)) {
      if (recipient_ != "python" || !whole) return false;
      call.arguments = R"({"code": )";
      AppendQuoted(body, &call.arguments);
      call.arguments += '}';
    }
    writer_.Call(std::move(call));
    return true;
  }

  PieceWriter& writer_;
  State state_ = State::kHeader;
  std::string held_;                    // a header, and the body of a call after it
  size_t channel_ = std::string::npos;  // where its name begins in the header
  std::string recipient_;
  size_t body_ = 0;  // where it begins
};

}  // namespace

std::unique_ptr<AnswerReader> MakeHarmonyReader(PieceWriter& writer) {
  return std::make_unique<HarmonyReader>(writer);
}

}  // namespace mirage::text
