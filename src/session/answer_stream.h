// SPDX-License-Identifier: Apache-2.0
#pragma once

// AnswerStream: the pieces of an answer, from its tokens.
//
//   token -> TextStream (text, up to the first stop string) -> AnswerParser -> pieces
//   control token ---------------------------------------------^ where it stood in the text
//
// Without a format to tell pieces apart by, all text is content. One thread at a time.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "session/text_stream.h"
#include "text/answer/answer_parser.h"

namespace mirage::session {

class AnswerStream {
 public:
  AnswerStream(TextStream text, std::shared_ptr<const text::Tokenizer> tokenizer,
               std::optional<text::AnswerOptions> options);

  // The pieces that `token` makes certain; often none.
  [[nodiscard]] std::vector<text::AnswerPiece> Push(int32_t token);
  // The end of the answer; `whole` as for AnswerParser::End.
  [[nodiscard]] std::vector<text::AnswerPiece> Flush(bool whole);

 private:
  struct Control {
    uint64_t at;  // bytes of text before it
    int32_t token;
  };
  // Text that no stop string begins in any more, and the control tokens in it.
  void Take(std::string_view text, std::vector<text::AnswerPiece>* pieces);

  TextStream text_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::unique_ptr<text::AnswerParser> parser_;  // null: all is content
  uint64_t taken_ = 0;                          // bytes
  std::deque<Control> controls_;                // in text that is still held back
};

}  // namespace mirage::session
