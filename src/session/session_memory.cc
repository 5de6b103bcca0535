// SPDX-License-Identifier: Apache-2.0

#include "session/session_memory.h"

#include <algorithm>

#include "engine/request.h"
#include "model/row_score.h"
#include "sample/sampler.h"
#include "session/generation.h"
#include "text/answer/answer_reader.h"

namespace mirage::session {
namespace {

// A request with its sampler, queue and rules, a sample of a run.
constexpr uint64_t kRequestBytes = 4 << 10;
// A text that is read: a job of the engine, its page tables, its result.
constexpr uint64_t kReadBytes = 1 << 10;
// Of an answer's text, a token; kept for the conversation, where it will be again.
constexpr uint64_t kTextBytesPerToken = 8;
// Of the tables from which guesses are drawn, for each token looked back on.
constexpr uint64_t kGuessBytesPerToken = 32;

// What reading an answer for calls takes: the reader, the text it holds, and what it makes of that.
uint64_t ReadingBytes(uint64_t answer_tokens) {
  constexpr uint64_t kReader = 2 << 10;
  constexpr uint64_t kMostHeld = text::kMostCallBytes;
  return kReader + 2 * std::min(answer_tokens * kTextBytesPerToken, kMostHeld);
}

// What is known of a prompt's tokens, all of it unread, and what the pass that finds it out has
// besides.
uint64_t PromptScoreBytes(const RunShape& shape) {
  const uint64_t top = static_cast<uint64_t>(shape.prompt_logprobs) * sizeof(TokenLogprob);
  const uint64_t given = sizeof(int32_t) + sizeof(float) + top;
  const uint64_t found = sizeof(double) + sizeof(model::RowScore) + 2 * top;
  const auto parts = std::min<uint64_t>(engine::kQueueCapacity + 1, shape.scored_tokens);
  return static_cast<uint64_t>(shape.scored_tokens) * given +
         static_cast<uint64_t>(shape.scored_in_a_step) * found + parts * sizeof(engine::PromptPart);
}

}  // namespace

uint64_t RunBytes(const RunShape& shape) {
  const auto prompt = static_cast<uint64_t>(shape.prompt_tokens);
  const auto answer = static_cast<uint64_t>(shape.answer_tokens);
  const auto samples = static_cast<uint64_t>(shape.samples);

  constexpr uint64_t kOutput = sizeof(engine::Output) + sizeof(Event);
  const uint64_t unread = engine::kQueueCapacity *
                          (kOutput + static_cast<uint64_t>(shape.logprobs) * sizeof(TokenLogprob));
  uint64_t each = kRequestBytes + unread + answer * kTokenBytes;
  if (shape.tells_apart) each += ReadingBytes(answer);
  if (shape.guesses) each += (prompt + answer) * kGuessBytesPerToken;
  // The first one's sequence is the session's; of the others each has all tokens again. The prompt
  // is kept once more to undo the start.
  const uint64_t copies = (samples - 1) * prompt * kTokenBytes + 2 * prompt * kTokenBytes;
  return samples * each + copies + answer * kTextBytesPerToken + shape.row_bytes +
         shape.echo_bytes + PromptScoreBytes(shape);
}

uint64_t AnswerBytes(int64_t prompt_tokens, int64_t answer_tokens, bool tells_apart) {
  const auto answer = static_cast<uint64_t>(answer_tokens);
  return static_cast<uint64_t>(prompt_tokens) * 2 * kTokenBytes +
         answer * (kTokenBytes + kTextBytesPerToken) + (tells_apart ? ReadingBytes(answer) : 0);
}

uint64_t ReadBytes(const ReadShape& shape) {
  const auto width = static_cast<uint64_t>(shape.width);
  return static_cast<uint64_t>(shape.texts) * kReadBytes +
         static_cast<uint64_t>(shape.tokens) * kTokenBytes +
         static_cast<uint64_t>(shape.scored_tokens) * 2 * sizeof(double) +
         static_cast<uint64_t>(shape.rows) * width * sizeof(float) +
         static_cast<uint64_t>(shape.texts_in_a_pass) * width * sizeof(double);
}

}  // namespace mirage::session
