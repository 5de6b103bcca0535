// SPDX-License-Identifier: Apache-2.0
#pragma once

// DRY, "don't repeat yourself": lowers the logit of every token that would prolong a repetition.
// P. E. Weidmann, text-generation-webui pull request 5677 (2024).
//
// The text ends with some tokens that it held before, followed there by token t: with n the most
// such tokens over all occurrences, t's logit is lowered by multiplier * base^(n - allowed_length)
// if n is at least allowed_length (and at least 1). A repetition does not reach back over a
// sequence breaker, and a token that is a breaker by itself is never penalized. Time is linear in
// the window.

#include <cstdint>
#include <span>

#include "sample/params.h"
#include "sample/workspace.h"

namespace mirage::sample {

// What is taken from logits is multiplied by `scale`. Ids outside the logits are skipped.
void ApplyDry(const Params& params, std::span<const int32_t> history, float scale,
              std::span<float> logits, Workspace& workspace);

}  // namespace mirage::sample
