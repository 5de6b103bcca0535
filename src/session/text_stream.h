// SPDX-License-Identifier: Apache-2.0
#pragma once

// TextStream: the text of an answer, from its tokens, up to the first stop string.
//
//   token -> detokenizer (whole code points) -> stop strings (held back while undecided) -> text
//
// The text of the first `unsearched` tokens is not searched for stop strings. Where control tokens
// divide the text, none of it goes on behind one: a code point cut short there is U+FFFD.
//
// One runs on the engine's side as the StopRule that ends a request at a stop string, its twin on
// the reader's side produces the text; the same tokens give both the same answer.
//
// One thread at a time.

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/request.h"
#include "session/stop_matcher.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace mirage::session {

class TextStream {
 public:
  TextStream(std::shared_ptr<const text::Tokenizer> tokenizer, text::DecodeOptions decode,
             StopMatcher matcher, int64_t unsearched = 0, bool controls_divide = false)
      : tokenizer_(std::move(tokenizer)),
        detokenizer_(*tokenizer_, decode),
        matcher_(std::move(matcher)),
        unsearched_(unsearched),
        controls_divide_(controls_divide) {}

  // The text that `token` makes certain; often empty.
  [[nodiscard]] std::string Push(int32_t token);
  // The end of the answer: what was held back, unless a stop string has been found. Not `whole`: it
  // was cut short, and so was a code point that is not complete, which is left out.
  [[nodiscard]] std::string Flush(bool whole);

  [[nodiscard]] bool stopped() const { return matcher_.matched(); }
  // Bytes held back because they may begin a stop string.
  [[nodiscard]] size_t undecided() const { return matcher_.held_bytes(); }
  [[nodiscard]] bool may_stop() const { return !matcher_.empty(); }

 private:
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  text::Detokenizer detokenizer_;
  StopMatcher matcher_;
  int64_t unsearched_;  // tokens still to come
  bool controls_divide_;
};

// The text of tokens that begin one, as an answer's would be: control tokens and those that have no
// text are left out.
[[nodiscard]] std::string TextOf(const text::Tokenizer& tokenizer, std::span<const int32_t> tokens);

// The twin of a stream that has seen nothing yet; null when there is no stop string to look for.
[[nodiscard]] std::unique_ptr<engine::StopRule> MakeStopRule(const TextStream& stream);

}  // namespace mirage::session
