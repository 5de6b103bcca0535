// SPDX-License-Identifier: Apache-2.0
#pragma once

// Detokenizer: a stream of token ids to a stream of text.
//
// A token may end inside a code point; what is appended is always whole code points, the rest waits
// for the next token. Bytes that can never become one are U+FFFD, as is what is left at the end.
// The concatenation of all that is appended does not depend on when it is read. One stream, one
// thread at a time; the tokenizer outlives it.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "text/tokenizer.h"

namespace mirage::text {

class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, DecodeOptions options = {})
      : tokenizer_(tokenizer),
        special_(options.special),
        drop_space_(options.text_start && tokenizer.adds_space_prefix()) {}

  // Appends to *out what this token completes.
  [[nodiscard]] Status Push(int32_t id, std::string* out);
  // Ends the stream: an incomplete tail becomes one U+FFFD.
  void Flush(std::string* out);

 private:
  const Tokenizer& tokenizer_;
  bool special_;
  bool drop_space_;      // the next ordinary text loses a leading space
  std::string pending_;  // the start of a code point
};

}  // namespace mirage::text
