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

namespace mirage::cli {

struct Answer {
  struct Token {
    int32_t token = 0;
    float logprob = 0;
    std::vector<mirage_token_logprob> top;
  };
  std::string text;
  std::vector<Token> tokens;
  int32_t finish = MIRAGE_FINISH_NONE;
  std::optional<Failure> failure;  // with MIRAGE_FINISH_ERROR: why it ended
  mirage_generation_stats stats{};
};

// Starts a generation and reads it; `on_text` sees each piece as it comes. Ctrl-C ends it with
// FINISH_CANCELLED. A long prompt shows a progress bar.
[[nodiscard]] Answer Generate(mirage_session* session, const mirage_generation_options& options,
                              const std::function<void(const std::string&)>& on_text);

// One line on stderr when the context, not `max_tokens` (-1: none was given), ended the answer.
void NoteFullContext(const Answer& answer, const mirage_session* session, int64_t max_tokens);

// One line on stderr for each token: its text and logprob, then those of the likeliest.
void PrintLogprobs(const mirage_model* model, const Answer& answer);

// "stop", as scripts read it.
[[nodiscard]] const char* FinishName(int32_t finish);

}  // namespace mirage::cli
