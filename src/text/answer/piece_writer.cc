// SPDX-License-Identifier: Apache-2.0
#include "text/answer/piece_writer.h"

#include <utility>

namespace mirage::text {

void PieceWriter::Add(char c) {
  if (IsJsonSpace(c)) {
    if (drop_space_) return;
    space_ += c;
    if (space_.size() > kMostHeldSpace) Emit(std::exchange(space_, {}));
    return;
  }
  if (!space_.empty()) Emit(std::exchange(space_, {}));
  Emit(std::string_view(&c, 1));
  drop_space_ = after_call_ = false;
  begun_ = true;
}

void PieceWriter::Add(std::string_view text) {
  for (const char c : text) Add(c);
}

void PieceWriter::Begin(AnswerPiece::Kind kind) {
  space_.clear();
  kind_ = kind;
  drop_space_ = true;
  after_call_ = begun_ = false;
}

void PieceWriter::BeginMessage(AnswerPiece::Kind kind) {
  Begin(kind);
  if (!written()) return;
  drop_space_ = false;
  Add('\n');
}

void PieceWriter::Call(ToolCall call) {
  space_.clear();
  kind_ = AnswerPiece::Kind::kContent;
  drop_space_ = !content_written_;
  after_call_ = true;
  begun_ = false;
  AnswerPiece piece;
  piece.kind = AnswerPiece::Kind::kToolCall;
  piece.call = std::move(call);
  out_->push_back(std::move(piece));
}

void PieceWriter::End() {
  if (!after_call_ && !space_.empty()) Emit(std::exchange(space_, {}));
}

void PieceWriter::Emit(std::string_view text) {
  written() = true;
  if (out_->empty() || out_->back().kind != kind_) out_->emplace_back().kind = kind_;
  out_->back().text += text;
}

}  // namespace mirage::text
