// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sequence breakers of DRY: strings, as the token sequences in which a text may hold them.
//
// A token that contains the string is a sequence by itself. Where a token only ends with the
// string's beginning, the rest follows as the vocabulary spells it there.

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "sample/token_sequences.h"
#include "text/tokenizer.h"

namespace mirage::session {

inline constexpr size_t kMostBreakers = 64;
inline constexpr size_t kMostBreakerBytes = 256;  // of one

// kInvalidArgument for an empty string or beyond the bounds above.
[[nodiscard]] Status CheckDryBreakers(const std::vector<std::string>& strings);

// Looks at every token of the vocabulary. Null for no strings. Fails as CheckDryBreakers does.
[[nodiscard]] Result<std::shared_ptr<const sample::TokenSequences>> CompileDryBreakers(
    const text::Tokenizer& tokenizer, const std::vector<std::string>& strings);

}  // namespace mirage::session
