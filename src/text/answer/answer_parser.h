// SPDX-License-Identifier: Apache-2.0
#pragma once

// AnswerParser: content, reasoning and tool calls told apart in what a model writes.
//
//   text, control tokens -> MarkerLexer -> AnswerReader (CallReader) -> PieceWriter -> pieces
//
// It is fed as the text comes, UTF-8, and gives the same pieces however the text is cut, but for
// text pieces of a kind that follow each other. Time is linear in the text, memory bounded
// (kMostCallBytes). Text is never lost: what looked like a call and is none comes as content, from
// its first word up to the byte that does not fit, where reading goes on; so does a call that the
// answer's end cuts short. Only tags, and white space next to them, are in no piece.
//
// A call is given when it is whole, its arguments a JSON object that was looked at. Control tokens
// that mean nothing to the format are left out.
//
// One thread at a time. May not be moved: its parts hold each other.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer/answer_format.h"
#include "text/answer/answer_reader.h"
#include "text/answer/marker_lexer.h"
#include "text/answer/piece.h"
#include "text/answer/piece_writer.h"
#include "text/answer/tool_set.h"

namespace mirage::text {

struct AnswerOptions {
  AnswerFormat format;
  bool calls = true;          // else they are content, but in formats that mark all
  bool in_reasoning = false;  // the prompt has opened it
  uint64_t id_seed = 0;       // of the ids of calls that come without one
  std::shared_ptr<const ToolSet> tools = std::make_shared<ToolSet>();
  HasControl has_control;  // null: no control tokens come, all is spelled in the text
};

class AnswerParser {
 public:
  explicit AnswerParser(AnswerOptions options);
  AnswerParser(const AnswerParser&) = delete;
  AnswerParser& operator=(const AnswerParser&) = delete;

  // What they make certain is appended to *pieces.
  void Push(std::string_view text, std::vector<AnswerPiece>* pieces);
  void PushControl(std::string_view spelling, std::vector<AnswerPiece>* pieces);
  // The end of the answer. `whole`: the model ended it; else it was cut short, and code that would
  // have ended with it is content.
  void End(bool whole, std::vector<AnswerPiece>* pieces);

  [[nodiscard]] bool has_calls() const { return calls_ > 0; }

 private:
  [[nodiscard]] std::vector<MarkerLexer::Marker> Markers() const;
  void NameCalls(std::vector<AnswerPiece>* pieces, size_t from);

  const AnswerOptions options_;
  PieceWriter writer_;
  std::unique_ptr<AnswerReader> reader_;
  MarkerLexer lexer_;
  uint64_t calls_ = 0;
};

// The id of the call of that number among those of one seed: nine letters and digits, as Mistral's
// templates want it.
[[nodiscard]] std::string MakeCallId(uint64_t seed, uint64_t number);

// Whether what a prompt ends with opens reasoning, which the answer then goes on with.
[[nodiscard]] bool OpensReasoning(std::string_view prompt_end, const ReasoningTags& tags);

}  // namespace mirage::text
