// SPDX-License-Identifier: Apache-2.0
#pragma once

// PieceWriter: an answer's bytes to its pieces, without the white space around calls and reasoning.
//
// White space is held until it is known what follows it, at most kMostHeldSpace bytes. It is
// dropped at both ends of reasoning, before and after calls, but kept between content and content.
// One thread at a time.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer/piece.h"

namespace mirage::text {

[[nodiscard]] constexpr bool IsJsonSpace(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

class PieceWriter {
 public:
  static constexpr size_t kMostHeldSpace = 256;

  // Where pieces go from now on.
  void SetOutput(std::vector<AnswerPiece>* out) { out_ = out; }

  // Text of the part that has begun: content, at first.
  void Add(char c);
  void Add(std::string_view text);
  void BeginReasoning() { Begin(AnswerPiece::Kind::kReasoning); }
  void BeginContent() { Begin(AnswerPiece::Kind::kContent); }
  // Another message of the same kind of text: it begins on a line of its own.
  void BeginMessage(AnswerPiece::Kind kind);
  void Call(ToolCall call);
  // The end of the answer.
  void End();

  // Nothing but white space has come since the answer or this part of it began.
  [[nodiscard]] bool at_beginning() const { return !begun_; }

 private:
  void Begin(AnswerPiece::Kind kind);
  void Emit(std::string_view text);
  [[nodiscard]] bool& written() {
    return kind_ == AnswerPiece::Kind::kContent ? content_written_ : reasoning_written_;
  }

  std::vector<AnswerPiece>* out_ = nullptr;
  AnswerPiece::Kind kind_ = AnswerPiece::Kind::kContent;
  std::string space_;        // may turn out to stand before a call or the end of the reasoning
  bool drop_space_ = false;  // it stands after one
  bool after_call_ = false;
  bool begun_ = false;
  bool content_written_ = false, reasoning_written_ = false;
};

}  // namespace mirage::text
