// SPDX-License-Identifier: Apache-2.0
#pragma once

// TokenTable: the checked vocabulary, every token as the bytes it stands for.
//
// Files write tokens in one of two alphabets: GPT-2's, one code point per byte, or SentencePiece's,
// with U+2581 for a space and <0xXX> for a byte. Here a token is the bytes it adds to a text, so
// encoding compares plain text and decoding copies. Control, user-defined and unknown tokens stand
// as written.
//
// Find sees only tokens that text can become through a model (normal, unused, undefined): special
// tokens are not in the hash, so no merge can forge one. Immutable after Create: any thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/string_table.h"
#include "text/hash.h"
#include "text/vocab.h"

namespace mirage::text {

constexpr int32_t kNoToken = -1;

enum class Alphabet { kGpt2Bytes, kSentencePiece };

// The bytes that `text` stands for; nothing when it is spelt outside the alphabet.
[[nodiscard]] std::optional<std::string> ReadAlphabet(std::string_view text, Alphabet alphabet);
// The SentencePiece alphabet, which spells everything: a space for each U+2581.
[[nodiscard]] std::string ReadSpaceMarks(std::string_view text);

// True for types that a model produces from plain text.
[[nodiscard]] constexpr bool IsOrdinary(TokenType type) {
  return type == TokenType::kNormal || type == TokenType::kUnused || type == TokenType::kUndefined;
}

class TokenTable {
 public:
  static constexpr size_t kMaxTokens = 1u << 24;
  static constexpr size_t kMaxTokenBytes = 1u << 14;

  // Takes the tokens, scores and types out of `data`.
  [[nodiscard]] static Result<TokenTable> Create(VocabData* data, Alphabet alphabet);

  [[nodiscard]] size_t count() const { return text_.count(); }
  [[nodiscard]] std::string_view text(int32_t id) const { return text_[static_cast<size_t>(id)]; }
  [[nodiscard]] TokenType type(int32_t id) const {
    return static_cast<TokenType>(types_[static_cast<size_t>(id)]);
  }
  void set_type(int32_t id, TokenType type) {
    types_[static_cast<size_t>(id)] = static_cast<uint8_t>(type);
  }
  [[nodiscard]] float score(int32_t id) const {
    return scores_.empty() ? 0.0f : scores_[static_cast<size_t>(id)];
  }
  [[nodiscard]] bool has_scores() const { return !scores_.empty(); }
  [[nodiscard]] size_t longest_bytes() const { return longest_bytes_; }

  // The token with this text that a model may produce, the lowest id of equals; kNoToken if there
  // is none.
  [[nodiscard]] int32_t Find(std::string_view text) const;
  // The token of one byte: spelt <0xXX>, or the one-byte text of the GPT-2 alphabet.
  [[nodiscard]] int32_t byte_token(unsigned char byte) const { return byte_tokens_[byte]; }

  // Puts the ordinary tokens into the hash, once, after the last set_type.
  void Index();

  [[nodiscard]] size_t heap_bytes() const;

 private:
  struct Token {
    std::string bytes;
    TokenType type;
    bool foreign;
  };

  [[nodiscard]] Result<Token> ReadToken(std::string_view text, size_t id, bool typed,
                                        Alphabet alphabet) const;

  StringTable text_;
  std::vector<float> scores_;
  std::vector<uint8_t> types_;
  // Spelt outside their alphabet: they stand for themselves, and no text becomes them. Sorted.
  std::vector<int32_t> foreign_;
  HashSlots slots_;
  uint64_t seed_ = RandomSeed();
  std::array<int32_t, 256> byte_tokens_{};
  size_t longest_bytes_ = 0;
};

}  // namespace mirage::text
