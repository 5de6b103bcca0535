// SPDX-License-Identifier: Apache-2.0

#include "session/answer_stream.h"

#include <utility>

namespace mirage::session {

AnswerStream::AnswerStream(TextStream text, std::shared_ptr<const text::Tokenizer> tokenizer,
                           std::optional<text::AnswerOptions> options)
    : text_(std::move(text)), tokenizer_(std::move(tokenizer)) {
  if (!options.has_value()) return;
  options->has_control = [tokens = tokenizer_.get()](std::string_view spelling) {
    return tokens->FindControl(spelling) != text::kNoToken;
  };
  parser_ = std::make_unique<text::AnswerParser>(*std::move(options));
}

std::vector<text::AnswerPiece> AnswerStream::Push(int32_t token) {
  std::vector<text::AnswerPiece> pieces;
  const std::string text = text_.Push(token);
  if (parser_ != nullptr && tokenizer_->has_token(token) && tokenizer_->is_control(token) &&
      !text_.stopped())
    controls_.push_back({taken_ + text.size() + text_.undecided(), token});
  Take(text, &pieces);
  return pieces;
}

std::vector<text::AnswerPiece> AnswerStream::Flush(bool whole) {
  std::vector<text::AnswerPiece> pieces;
  if (text_.stopped()) controls_.clear();  // they stood in the stop string, or after it
  Take(text_.Flush(whole), &pieces);
  if (parser_ != nullptr) parser_->End(whole, &pieces);
  return pieces;
}

void AnswerStream::Take(std::string_view text, std::vector<text::AnswerPiece>* pieces) {
  if (parser_ == nullptr) {
    if (!text.empty())
      pieces->push_back({text::AnswerPiece::Kind::kContent, std::string(text), {}});
    return;
  }
  const uint64_t end = taken_ + text.size();
  while (!controls_.empty() && controls_.front().at <= end) {
    const Control control = controls_.front();
    controls_.pop_front();
    const auto before = static_cast<size_t>(control.at - taken_);
    parser_->Push(text.substr(0, before), pieces);
    parser_->PushControl(tokenizer_->TokenText(control.token), pieces);
    text.remove_prefix(before);
    taken_ = control.at;
  }
  parser_->Push(text, pieces);
  taken_ = end;
}

}  // namespace mirage::session
