// SPDX-License-Identifier: Apache-2.0
#pragma once

// SpecialTokens: the ids with a role, resolved from the file's keys, the model's defaults and
// well-known names.
//
// Files often leave roles out or give a control token another type, so names decide as well; what
// was mended is told in warnings. Plain data.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/token_table.h"
#include "text/vocab.h"

namespace mirage::text {

struct SpecialTokens {
  int32_t bos = kNoToken, eos = kNoToken, unk = kNoToken, sep = kNoToken, pad = kNoToken,
          mask = kNoToken;
  int32_t eot = kNoToken, eom = kNoToken;
  int32_t fim_pre = kNoToken, fim_suf = kNoToken, fim_mid = kNoToken;
  int32_t fim_pad = kNoToken, fim_rep = kNoToken, fim_sep = kNoToken;
  std::vector<int32_t> end_of_generation;  // sorted
  // Tokens that swallow the ASCII white space before or after them; sorted.
  std::vector<int32_t> strips_left, strips_right;

  // Fails with kCorrupt when an id lies outside the vocabulary. Gives tokens known as control by
  // name that type.
  [[nodiscard]] static Result<SpecialTokens> Resolve(const VocabData& data, TokenTable* tokens,
                                                     std::vector<std::string>* warnings);
};

}  // namespace mirage::text
