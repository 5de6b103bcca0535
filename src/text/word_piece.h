// SPDX-License-Identifier: Apache-2.0
#pragma once

// WordPieceModel: BERT's words, each cut greedily into the longest tokens.
//
// Normalization is BertNormalizer's: control characters go, accents and case go where the
// vocabulary says so, white space, punctuation and CJK ideographs end a word. A token that begins a
// word begins with a space in the table. A word that cannot be covered, or of more than
// kMaxWordLetters, is the unknown token. Immutable: any thread.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/subword_model.h"
#include "text/token_table.h"

namespace mirage::text {

class WordPieceModel final : public SubwordModel {
 public:
  static constexpr size_t kMaxWordLetters = 100;

  struct Options {
    bool lowercase = true;
    bool strip_accents = true;
  };

  // `tokens` outlives the model.
  WordPieceModel(const TokenTable& tokens, Options options, int32_t unknown)
      : tokens_(tokens), options_(options), unknown_(unknown) {}

  [[nodiscard]] Status Encode(std::string_view text, bool after_special,
                              std::vector<int32_t>* ids) const override;
  [[nodiscard]] size_t heap_bytes() const override { return 0; }

 private:
  [[nodiscard]] std::u32string Normalize(std::string_view text) const;
  void EncodePart(std::string_view text, std::vector<int32_t>* ids) const;
  void EncodeWord(std::u32string_view word, std::vector<int32_t>* ids) const;

  const TokenTable& tokens_;
  Options options_;
  int32_t unknown_;
};

}  // namespace mirage::text
