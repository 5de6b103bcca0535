// SPDX-License-Identifier: Apache-2.0
#pragma once

// Small vocabularies made by hand, for tests that read at a glance.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/vocab.h"

namespace mirage::text {

// Collects tokens; Add returns the id.
class SmallVocab {
 public:
  explicit SmallVocab(std::string model, std::string pre = "") {
    data.model = std::move(model);
    data.pre = std::move(pre);
  }

  uint32_t Add(std::string_view token, TokenType type = TokenType::kNormal, float score = 0) {
    EXPECT_TRUE(data.tokens.Append(token));
    data.types.push_back(static_cast<uint8_t>(type));
    data.scores.push_back(score);
    return static_cast<uint32_t>(data.tokens.count() - 1);
  }
  // <0x00> to <0xFF>.
  void AddByteTokens() {
    for (int byte = 0; byte < 256; ++byte) {
      char text[8];
      std::snprintf(text, sizeof text, "<0x%02X>", byte);
      Add(text, TokenType::kByte);
    }
  }
  // The 256 letters of GPT-2's alphabet in byte order, so that a byte's token is base + byte.
  void AddByteLetters() {
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      std::string letter;
      AppendUtf8(printable ? byte : next++, &letter);
      Add(letter);
    }
  }
  // A merge and the token it makes.
  uint32_t Merge(std::string_view left, std::string_view right) {
    EXPECT_TRUE(data.merges.Append(std::string(left) + " " + std::string(right)));
    return Add(std::string(left) + std::string(right));
  }

  [[nodiscard]] std::unique_ptr<Tokenizer> Make() {
    auto tokenizer = Tokenizer::Create(std::move(data));
    if (!tokenizer) {
      ADD_FAILURE() << tokenizer.error().message;
      return nullptr;
    }
    return *std::move(tokenizer);
  }

  VocabData data;
};

// A byte-level vocabulary: bytes 0 to 255, then "he" 256, "ll" 257, "llo" 258, "hello" 259, "
// hello" 260, and the special tokens 261 "<|im_start|>", 262 "<|im_end|>" (control), 263 "<tool>"
// (user-defined).
inline SmallVocab Hello(std::string pre = "gpt-2") {
  SmallVocab vocab("gpt2", std::move(pre));
  vocab.AddByteLetters();
  vocab.Merge("h", "e");
  vocab.Merge("l", "l");
  vocab.Merge("ll", "o");
  vocab.Merge("he", "llo");
  vocab.Merge("Ġ", "hello");
  vocab.Add("<|im_start|>", TokenType::kControl);
  vocab.Add("<|im_end|>", TokenType::kControl);
  vocab.Add("<tool>", TokenType::kUserDefined);
  return vocab;
}

inline std::vector<int32_t> Ids(const Tokenizer& tokenizer, std::string_view text,
                                EncodeOptions options = {}) {
  const auto ids = tokenizer.Encode(text, options);
  if (!ids) ADD_FAILURE() << ids.error().message;
  return ids ? *ids : std::vector<int32_t>{};
}

inline std::string Text(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                        DecodeOptions options = {}) {
  std::string text;
  const Status status = tokenizer.Decode(ids, options, &text);
  if (!status) ADD_FAILURE() << status.error().message;
  return text;
}

using IdList = std::vector<int32_t>;

}  // namespace mirage::text
