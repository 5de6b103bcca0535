// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "text/answer/answer_reader.h"

namespace mirage::text {
namespace {

class TaggedReader final : public AnswerReader {
 public:
  TaggedReader(PieceWriter& writer, ReasoningTags reasoning, bool in_reasoning,
               const CallSyntax* calls, const ToolSet& tools)
      : writer_(writer), syntax_(calls) {
    if (!reasoning.begin.empty()) {
      markers_ = {std::move(reasoning.begin), std::move(reasoning.end)};
      first_call_marker_ = 2;
    }
    if (calls != nullptr) {
      markers_.insert(markers_.end(), calls->markers.begin(), calls->markers.end());
      calls_ = calls->make(held_, tools);
    }
    if (in_reasoning)
      BeginReasoning();
    else if (calls != nullptr && calls->from_start)
      BeginCall({}, CallReader::kNoMarker);
  }

  [[nodiscard]] std::vector<std::string> markers() const override { return markers_; }

  void Byte(char c) override {
    if (mode_ == Mode::kContent && c == '{' && syntax_ != nullptr && syntax_->bare_object &&
        writer_.at_beginning())
      BeginCall({}, CallReader::kNoMarker);
    if (mode_ != Mode::kCall) {
      writer_.Add(c);
      return;
    }
    held_ += c;
    if (Judge(TooLong() ? Verdict::kNot : calls_->Byte(c), 1)) Byte(c);
  }

  void Marker(size_t index, bool control) override {
    const std::string& spelling = markers_[index];
    if (mode_ == Mode::kCall && index < first_call_marker_ && Trim(held_).empty())
      LeaveCall();  // between calls
    if (mode_ == Mode::kCall) {
      if (index < first_call_marker_) {  // no word of calls, but it may stand in a string
        for (const char c : spelling) Byte(c);
        return;
      }
      held_ += spelling;
      const Verdict verdict =
          TooLong() ? Verdict::kNot : calls_->Marker(index - first_call_marker_);
      if (Judge(verdict, spelling.size())) Marker(index, control);
      return;
    }
    if (mode_ == Mode::kReasoning) {
      if (first_call_marker_ == 2 && index == 1)
        BeginContent();
      else if (!control)
        writer_.Add(spelling);
      return;
    }
    if (first_call_marker_ == 2 && index == 0 && (control || writer_.at_beginning())) {
      BeginReasoning();
    } else if (index >= first_call_marker_ &&
               (syntax_->openers >> (index - first_call_marker_) & 1) != 0) {
      BeginCall(spelling, index - first_call_marker_);
    } else if (!control) {
      writer_.Add(spelling);
    }
  }

  void End(bool whole) override {
    if (mode_ == Mode::kCall) {
      const Verdict verdict = calls_->End(whole);
      TakeCalls();
      if (verdict == Verdict::kNot) LeaveCall();
    }
    writer_.End();
  }

 private:
  enum class Mode { kContent, kReasoning, kCall };

  void BeginReasoning() {
    mode_ = Mode::kReasoning;
    writer_.BeginReasoning();
  }
  void BeginContent() {
    mode_ = Mode::kContent;
    writer_.BeginContent();
  }
  void BeginCall(const std::string& spelling, size_t opener) {
    mode_ = Mode::kCall;
    held_ = spelling;
    calls_->Begin(opener);
  }
  // What is held is content.
  void LeaveCall() {
    mode_ = Mode::kContent;
    writer_.Add(std::exchange(held_, {}));
  }
  void TakeCalls() {
    for (ToolCall& call : calls_->TakeCalls()) writer_.Call(std::move(call));
  }
  [[nodiscard]] bool TooLong() const { return held_.size() > kMostCallBytes; }

  // What the last symbol, of so many bytes, made of what is held. True: the symbol is not of it and
  // is to be looked at as content.
  bool Judge(Verdict verdict, size_t symbol_bytes) {
    TakeCalls();
    if (verdict == Verdict::kMore) return false;
    if (verdict == Verdict::kNot) {
      held_.resize(held_.size() - symbol_bytes);
      LeaveCall();
    } else if (verdict == Verdict::kEnded) {
      mode_ = Mode::kContent;
    }
    held_.clear();
    return verdict == Verdict::kNot;
  }

  PieceWriter& writer_;
  const CallSyntax* const syntax_;
  std::vector<std::string> markers_;  // of reasoning, if there are any, then of calls
  size_t first_call_marker_ = 0;
  std::string held_;  // of what may be a call
  std::unique_ptr<CallReader> calls_;
  Mode mode_ = Mode::kContent;
};

}  // namespace

std::unique_ptr<AnswerReader> MakeTaggedReader(PieceWriter& writer, ReasoningTags reasoning,
                                               bool in_reasoning, const CallSyntax* calls,
                                               const ToolSet& tools) {
  return std::make_unique<TaggedReader>(writer, std::move(reasoning), in_reasoning, calls, tools);
}

}  // namespace mirage::text
