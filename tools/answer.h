// SPDX-License-Identifier: Apache-2.0
#pragma once

// Answer: one generation read to its end, as `run` and `chat` do it.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mirage/mirage.h"
#include "tools/api.h"
#include "tools/failure.h"
#include "tools/json.h"

namespace mirage::cli {

struct Answer {
  struct Token {
    int32_t token = 0;
    float logprob = 0;
    std::vector<mirage_token_logprob> top;
  };
  struct Call {
    std::string id, name;
    std::string arguments;  // a JSON object
  };
  std::string text;       // the content
  std::string reasoning;  // before it
  std::vector<Call> calls;
  std::vector<Token> prompt;  // all but its first token, where prompt_logprobs asks for them
  std::vector<Token> tokens;
  int32_t finish = MIRAGE_FINISH_NONE;
  std::optional<Failure> failure;  // with MIRAGE_FINISH_ERROR: why it ended
  mirage_generation_stats stats{};
};

// Sees each TEXT and TOOL_CALL event as it comes.
using OnPiece = std::function<void(const mirage_event&)>;

// Starts a generation and reads it. Ctrl-C ends it with FINISH_CANCELLED. A long prompt shows a
// progress bar.
[[nodiscard]] Answer Generate(mirage_session* session, const mirage_generation_options& options,
                              const OnPiece& on_piece);

// A call as a message of a conversation holds it.
[[nodiscard]] Json CallJson(const Answer::Call& call);

// A line on stderr when tokens were dropped for want of room in the context, and when the context,
// not `max_tokens` (-1: none was given), ended the answer.
void NoteFullContext(const Answer& answer, const mirage_session* session, int64_t max_tokens);

// One line on stderr for each token: its text and logprob, then those of the likeliest.
void PrintLogprobs(const mirage_model* model, const std::vector<Answer::Token>& tokens);

// "stop", as scripts read it.
[[nodiscard]] const char* FinishName(int32_t finish);

}  // namespace mirage::cli
