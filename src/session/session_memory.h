// SPDX-License-Identifier: Apache-2.0
#pragma once

// What sessions and their answers hold besides keys and values, in bytes for the ledger.
//
// A plan keeps something for them, so that a model which takes all of the limit can still be talked
// to; they draw on it together, and then on what is free. They are charged as they grow: a session
// that holds little takes little. What answers hold is their reader's to decide within bounds, and
// is charged by these at the start.

#include <cstdint>

namespace mirage::session {

// Kept by a plan: for all, for each session and an answer of its own, and for each token of its
// context, which is there by number and as text, in the session and in the run that computes it.
inline constexpr uint64_t kPlannedForAll = 512 << 10;
inline constexpr uint64_t kPlannedPerSession = 128 << 10;
inline constexpr uint64_t kPlannedPerToken = 40;

// What an idle session takes beside its text and tokens, and the steps in which it is charged.
inline constexpr uint64_t kSessionBytes = 2 << 10;
inline constexpr uint64_t kChargeStep = 4 << 10;

// Of a token that a session holds: its number, in a vector that may have room for twice as many.
inline constexpr uint64_t kTokenBytes = 2 * sizeof(int32_t);

struct RunShape {
  int64_t prompt_tokens = 0;  // all that the answer follows
  int64_t answer_tokens = 0;  // at most, of each sample
  int32_t samples = 1;
  bool tells_apart = false;  // calls and reasoning, in the answers
  int logprobs = 0;
  bool guesses = false;          // ahead, from what was said before
  uint64_t row_bytes = 0;        // of logits in the caller's hands; 0: none
  uint64_t echo_bytes = 0;       // of the prompt's text
  int64_t scored_tokens = 0;     // of the prompt, whose log probabilities are given
  int64_t scored_in_a_step = 0;  // at most
  int prompt_logprobs = 0;       // likeliest tokens given with each
};

// The most that a run's samples hold: tokens, outputs nobody has read, text.
[[nodiscard]] uint64_t RunBytes(const RunShape& shape);
// What is left of it for the session when nobody reads it any more: tokens and text of the first
// sample.
[[nodiscard]] uint64_t AnswerBytes(int64_t prompt_tokens, int64_t answer_tokens, bool tells_apart);

// Texts that are read, and what comes of it.
struct ReadShape {
  int64_t texts = 0;
  int64_t tokens = 0;
  int64_t scored_tokens = 0;
  int64_t rows = 0;  // of embeddings, of `width` values
  int64_t width = 0;
  int64_t texts_in_a_pass = 0;  // at most
};
[[nodiscard]] uint64_t ReadBytes(const ReadShape& shape);

}  // namespace mirage::session
