// SPDX-License-Identifier: Apache-2.0
#pragma once

// TextStream: the text of an answer, from its tokens, up to the first stop string.
//
//   token -> detokenizer (whole code points) -> stop strings (held back while undecided) -> text
//
// The text of the first `unsearched` tokens is not searched for stop strings.
//
// One runs on the engine's side as the StopRule that ends a request at a stop string, its twin on
// the reader's side produces the text; the same tokens give both the same answer.
//
// One thread at a time.

#include <cstdint>
#include <memory>
#include <string>

#include "engine/request.h"
#include "session/stop_matcher.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace mirage::session {

class TextStream {
 public:
  TextStream(std::shared_ptr<const text::Tokenizer> tokenizer, text::DecodeOptions decode,
             StopMatcher matcher, int64_t unsearched = 0)
      : tokenizer_(std::move(tokenizer)),
        detokenizer_(*tokenizer_, decode),
        matcher_(std::move(matcher)),
        unsearched_(unsearched) {}

  // The text that `token` makes certain; often empty.
  [[nodiscard]] std::string Push(int32_t token);
  // The end of the answer: what was held back, unless a stop string has been found.
  [[nodiscard]] std::string Flush();

  [[nodiscard]] bool stopped() const { return matcher_.matched(); }
  [[nodiscard]] bool may_stop() const { return !matcher_.empty(); }

 private:
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  text::Detokenizer detokenizer_;
  StopMatcher matcher_;
  int64_t unsearched_;  // tokens still to come
};

// The twin of a stream that has seen nothing yet; null when there is no stop string to look for.
[[nodiscard]] std::unique_ptr<engine::StopRule> MakeStopRule(const TextStream& stream);

}  // namespace mirage::session
