// SPDX-License-Identifier: Apache-2.0
#pragma once

// Penalties: logits lowered (or raised) for tokens that the text already holds.
//
// repeat: a positive logit is divided by repeat_penalty, any other multiplied by it, once per
// distinct token of the window (CTRL, arXiv 1909.05858, with the sign case every runtime adds).
// presence and frequency: logit -= frequency * count + presence, over the output alone.
// repeat is applied first.

#include <cstdint>
#include <span>

#include "sample/params.h"
#include "sample/workspace.h"

namespace mirage::sample {

[[nodiscard]] bool HasPenalties(const Params& params);

// history[output_begin..] is output. What is subtracted is multiplied by `scale`. Ids outside the
// logits (embeddings in the prompt) are skipped.
void ApplyPenalties(const Params& params, std::span<const int32_t> history, size_t output_begin,
                    float scale, std::span<float> logits, Workspace& workspace);

}  // namespace mirage::sample
