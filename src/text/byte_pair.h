// SPDX-License-Identifier: Apache-2.0
#pragma once

// BytePairModel: pieces of a pre-tokenizer, merged by an ordered merge list.
//
// Covers GPT-2's byte-level vocabularies, where a symbol starts as a byte, and those with space
// marks, where it starts as a code point and falls back to byte tokens.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/byte_fallback.h"
#include "text/hash.h"
#include "text/pre_tokenizer.h"
#include "text/seams.h"
#include "text/subword_model.h"
#include "text/symbol_merger.h"
#include "text/token_table.h"

namespace mirage::text {

// The merges by pair of token ids. The list's text is not kept.
class MergeTable {
 public:
  static constexpr size_t kMaxMerges = 1u << 24;

  // Merges whose parts or result are no tokens can never apply; skipped() counts them.
  [[nodiscard]] static Result<MergeTable> Create(const StringTable& merges, Alphabet alphabet,
                                                 const TokenTable& tokens);

  [[nodiscard]] std::optional<SymbolMerger::Merge> Find(int32_t left, int32_t right) const;
  [[nodiscard]] size_t skipped() const { return skipped_; }
  [[nodiscard]] size_t heap_bytes() const {
    return merges_.capacity() * sizeof(Pair) + slots_.heap_bytes();
  }

 private:
  struct Pair {
    int32_t left, right, joined;
  };
  std::vector<Pair> merges_;  // by rank
  HashSlots slots_;
  uint64_t seed_ = RandomSeed();
  size_t skipped_ = 0;
};

class BytePairModel final : public SubwordModel {
 public:
  // `tokens` outlives the model. `unknown` stands for bytes without a token, or is kNoToken to
  // leave them out.
  BytePairModel(const TokenTable& tokens, PreTokenizer pre_tokenizer, MergeTable merges,
                int32_t unknown)
      : tokens_(tokens),
        pre_tokenizer_(std::move(pre_tokenizer)),
        merges_(std::move(merges)),
        unknown_(unknown) {
    if (pre_tokenizer_.traits().space_mark) seams_.emplace(tokens);
    for (size_t byte = 0; byte < of_byte_.size(); ++byte) {
      const auto text = static_cast<char>(byte);
      of_byte_[byte] = tokens.Find({&text, 1});
    }
  }

  [[nodiscard]] Status Encode(std::string_view text, bool after_special,
                              std::vector<int32_t>* ids) const override;
  [[nodiscard]] size_t heap_bytes() const override {
    return pre_tokenizer_.heap_bytes() + merges_.heap_bytes() + (seams_ ? seams_->heap_bytes() : 0);
  }

 private:
  [[nodiscard]] bool IsLeftOut(char byte) const;  // a byte without any token, and no unknown one
  void EncodePiece(std::string_view piece, SymbolMerger* merger, std::vector<int32_t>* ids) const;
  void Merge(std::string_view piece, SymbolMerger* merger, ByteFallback* fallback) const;

  const TokenTable& tokens_;
  PreTokenizer pre_tokenizer_;
  MergeTable merges_;
  int32_t unknown_;
  std::array<int32_t, 256> of_byte_{};  // the token of a text of one byte, or kNoToken
  std::optional<Seams> seams_;
};

}  // namespace mirage::text
