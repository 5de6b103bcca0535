// SPDX-License-Identifier: Apache-2.0
#pragma once

// EncodeInfill: a prompt after which a model that was trained to fill in the middle writes what
// stands between two texts.
//
//   bos, context, <prefix>, prefix, <suffix>, suffix, <middle>
//
// The space that some vocabularies put in front of a text stands before the first part at most, and
// never before the suffix, which begins where the middle ends.
//
// Plain functions; any thread.

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace mirage::text {

struct InfillText {
  std::string_view prefix, suffix;
  std::string_view context;  // before both; may be empty
};

// Control tokens spelled in the texts stay text. `add_special`: the prompt begins a text, with the
// begin token where the vocabulary adds one. Fails with kUnsupported, naming the token and its key,
// where the vocabulary has not all three.
[[nodiscard]] Result<std::vector<int32_t>> EncodeInfill(const Tokenizer& tokenizer,
                                                        const InfillText& text, bool add_special);

}  // namespace mirage::text
