// SPDX-License-Identifier: Apache-2.0
#pragma once

// AnswerReader: an answer's bytes and markers to its pieces. There are two: for formats that mark
// what is not content, and for one in which all is marked.
//
// One thread at a time.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer/call_reader.h"
#include "text/answer/marker_lexer.h"
#include "text/answer/piece_writer.h"

namespace mirage::text {

// Text from where a call may begin is held until it is read; what is longer is no call.
inline constexpr size_t kMostCallBytes = size_t{1} << 20;

class AnswerReader : public MarkerLexer::Sink {
 public:
  // The end of the answer; not `whole`: it was cut short there.
  virtual void End(bool whole) = 0;
  // In the order of their indices.
  [[nodiscard]] virtual std::vector<std::string> markers() const = 0;
};

// What stands around reasoning; "" when the model writes none.
struct ReasoningTags {
  std::string begin, end;
  bool operator==(const ReasoningTags&) const = default;
};

// Content, with reasoning between tags and calls of one syntax in it (null: none). A tag that is
// text begins reasoning only where no content has come since the answer began or the last call.
[[nodiscard]] std::unique_ptr<AnswerReader> MakeTaggedReader(PieceWriter& writer,
                                                             ReasoningTags reasoning,
                                                             bool in_reasoning,
                                                             const CallSyntax* calls,
                                                             const ToolSet& tools);

// OpenAI's harmony format: messages with a channel and maybe a recipient.
[[nodiscard]] std::unique_ptr<AnswerReader> MakeHarmonyReader(PieceWriter& writer);

}  // namespace mirage::text
