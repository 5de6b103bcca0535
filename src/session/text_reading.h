// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a model says of texts without answering them: how likely their tokens are, and hidden states
// as embeddings.
//
// The calls block; the engine computes, many texts in a pass. What they hold meanwhile is in the
// runtime's ledger.
//
// Any thread.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/text_job.h"
#include "session/loaded_model.h"

namespace mirage::session {

using engine::Pooling;

// How long a caller waits.
struct Patience {
  std::optional<int64_t> deadline_ns;  // on the runtime's clock; then kDeadline
  // Called on the calling thread, once before anything is computed and every few milliseconds while
  // it waits, with tokens; false ends the call with kCancelled. Must not throw.
  std::function<bool(uint64_t done_tokens, uint64_t total_tokens)> progress;
};

// logprobs[i] = log P(tokens[first + i] | tokens before it) for all from `first` (at least 1) on.
[[nodiscard]] Status ScoreTokens(const LoadedModel& model, std::span<const int32_t> tokens,
                                 size_t first, std::span<float> logprobs);

// logprobs[i] = log P(choices[i] | prompt), the sum over its tokens. The prompt is computed once.
[[nodiscard]] Status ScoreChoices(const LoadedModel& model, std::span<const int32_t> prompt,
                                  const std::vector<std::vector<int32_t>>& choices,
                                  const Patience& patience, std::span<double> logprobs);

// How many classes the model's head tells apart. kInvalidArgument for a model without weights,
// kUnsupported for one without such a head.
[[nodiscard]] Result<size_t> ClassesOf(const LoadedModel& model);
// [texts][classes] their probabilities.
[[nodiscard]] Status ClassifyTexts(const LoadedModel& model,
                                   std::vector<std::vector<int32_t>> texts,
                                   const Patience& patience, std::span<float> probabilities);

// What the model's file says in <architecture>.pooling_type; nothing where it says nothing.
// kUnsupported for what this build does not do.
[[nodiscard]] Result<std::optional<Pooling>> OwnPooling(const LoadedModel& model);

// Of each text a row, of kNone one for each of its tokens, one after the other: [rows][hidden
// width]. `normalize` divides a row by its Euclidean norm, unless that is 0. Written only when all
// is well.
[[nodiscard]] Status EmbedTexts(const LoadedModel& model, std::vector<std::vector<int32_t>> texts,
                                Pooling pooling, bool normalize, const Patience& patience,
                                std::span<float> embeddings);

}  // namespace mirage::session
