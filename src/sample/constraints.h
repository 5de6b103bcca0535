// SPDX-License-Identifier: Apache-2.0
#pragma once

// Constraints: logit bias, and the tokens that may not come next at all, whose logits become -inf.
//
// allowed_tokens   every other token
// banned_sequences the last token of each sequence whose others the text ends with
// forbidden        what the caller names for this token, such as end tokens before min_tokens
// grammar          the tokens that a grammar allows for this token; null: all

#include <cstdint>
#include <span>
#include <string>

#include "base/bit_set.h"
#include "sample/params.h"
#include "sample/workspace.h"

namespace mirage::sample {

[[nodiscard]] bool HasConstraints(const Params& params, std::span<const int32_t> forbidden,
                                  const BitSet* grammar);

void ApplyConstraints(const Params& params, std::span<const int32_t> history,
                      std::span<const int32_t> forbidden, const BitSet* grammar,
                      std::span<float> logits, Workspace& workspace);

// Which of them may have forbidden a token, for a message: " by allowed_tokens, min_tokens".
[[nodiscard]] std::string ConstraintNames(const Params& params, std::span<const int32_t> forbidden,
                                          const BitSet* grammar);

}  // namespace mirage::sample
