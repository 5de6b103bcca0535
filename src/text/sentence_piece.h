// SPDX-License-Identifier: Apache-2.0
#pragma once

// SentencePieceModel: SentencePiece's byte-pair model: the neighbours whose joined token scores
// highest join first.
//
// Code points without a token fall back to byte tokens. Immutable: any thread.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/seams.h"
#include "text/subword_model.h"
#include "text/token_table.h"

namespace mirage::text {

class SentencePieceModel final : public SubwordModel {
 public:
  // `tokens` outlives the model. `space_prefix`: a run after a special token gets a space in front.
  SentencePieceModel(const TokenTable& tokens, bool space_prefix, int32_t unknown)
      : tokens_(tokens), space_prefix_(space_prefix), unknown_(unknown), seams_(tokens) {}

  [[nodiscard]] Status Encode(std::string_view text, bool after_special,
                              std::vector<int32_t>* ids) const override;
  [[nodiscard]] size_t heap_bytes() const override { return seams_.heap_bytes(); }

 private:
  const TokenTable& tokens_;
  bool space_prefix_;
  int32_t unknown_;
  Seams seams_;
};

}  // namespace mirage::text
