// SPDX-License-Identifier: Apache-2.0
#pragma once

// UnigramModel: SentencePiece's unigram model: the cut of a text whose tokens' log probabilities
// sum highest.
//
// The text is normalized first: the charsmap, then white space as the vocabulary's flags say. Code
// points without a token are the unknown token, one for a run of them, or byte tokens where the
// vocabulary has all 256. Immutable: any thread.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/charsmap.h"
#include "text/prefix_index.h"
#include "text/subword_model.h"
#include "text/token_table.h"

namespace mirage::text {

class UnigramModel final : public SubwordModel {
 public:
  static constexpr size_t kMaxNormalizedBytes = 256u << 20;
  static constexpr size_t kMaxTokenBytes =
      512;  // a text is compared with tokens this far from every letter
  static constexpr double kUnknownPenalty = 10.0;  // below the least likely token

  struct Options {
    bool space_prefix = false;
    bool remove_extra_spaces = false;
    int32_t unknown = kNoToken;
  };

  // `tokens` outlives the model.
  [[nodiscard]] static Result<std::unique_ptr<UnigramModel>> Create(const TokenTable& tokens,
                                                                    Charsmap charsmap,
                                                                    Options options);

  [[nodiscard]] Status Encode(std::string_view text, bool after_special,
                              std::vector<int32_t>* ids) const override;
  [[nodiscard]] size_t heap_bytes() const override {
    return charsmap_.heap_bytes() + index_.heap_bytes();
  }

 private:
  class Lattice;

  UnigramModel(const TokenTable& tokens, Charsmap charsmap, Options options);
  [[nodiscard]] Result<std::string> Normalize(std::string_view text) const;

  const TokenTable& tokens_;
  Charsmap charsmap_;
  PrefixIndex index_;
  Options options_;
  double unknown_score_;
  bool byte_fallback_;
};

}  // namespace mirage::text
