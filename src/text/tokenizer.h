// SPDX-License-Identifier: Apache-2.0
#pragma once

// Tokenizer: text to token ids and back, for every vocabulary that GGUF files carry.
//
// *Special tokens* are found in the text before anything else: user-defined ones everywhere,
// control and unknown ones only where the caller says that the text may hold them, so that what a
// user types cannot forge them. The text between them goes through the vocabulary's own algorithm
// (a SubwordModel). Encoding then decoding gives the text back, but for what a vocabulary's
// normalizer drops.
//
// Text is UTF-8; a maximal ill-formed part counts as U+FFFD. Time is linear or n log n in the text
// for every input. Encoding words takes 5 to 10 bytes of memory for each byte of text, its ids
// included; text without a seam, such as a megabyte of one letter, at most 64.
// Immutable after Create: any thread.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/pre_tokenizer.h"
#include "text/prefix_index.h"
#include "text/special_tokens.h"
#include "text/subword_model.h"
#include "text/token_table.h"
#include "text/vocab.h"

namespace mirage::text {

struct EncodeOptions {
  bool add_special = true;    // what the vocabulary puts around a text: bos, eos, cls, sep
  bool parse_special = true;  // control tokens spelt in the text are those tokens
  bool text_start = true;     // it begins a text: some vocabularies put a space in front of one
};

// A part of a text of mixed origin, as a rendered chat template is: the template's words and a
// user's.
struct TextPiece {
  std::string_view text;
  bool parse_special = false;
};

struct DecodeOptions {
  bool special = false;    // write control and unknown tokens as they are spelt
  bool text_start = true;  // the ids begin a text: drop the space that encoding put in front
};

class Tokenizer {
 public:
  static constexpr size_t kMaxTextBytes = 256u << 20;
  static constexpr size_t kMaxSpecialTokenBytes = 512;

  // Checks everything; kCorrupt or kUnsupported name the key.
  [[nodiscard]] static Result<std::unique_ptr<Tokenizer>> Create(VocabData data);

  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  [[nodiscard]] Result<std::vector<int32_t>> Encode(std::string_view utf8,
                                                    EncodeOptions options = {}) const;
  // The same ids as for the pieces joined into one text, except that a control token matches only
  // within pieces that parse them.
  [[nodiscard]] Result<std::vector<int32_t>> Encode(std::span<const TextPiece> pieces,
                                                    bool add_special) const {
    return EncodePieces(pieces, add_special, true);
  }

  // Appends the text of the ids, always well-formed.
  [[nodiscard]] Status Decode(std::span<const int32_t> ids, DecodeOptions options,
                              std::string* out) const;

  [[nodiscard]] size_t token_count() const { return tokens_.count(); }
  [[nodiscard]] bool has_token(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < token_count();
  }

  // The following take ids that has_token.
  // The bytes a token adds to a text; of a control token its spelling. May be part of a code point.
  [[nodiscard]] std::string_view TokenText(int32_t id) const { return tokens_.text(id); }
  [[nodiscard]] TokenType token_type(int32_t id) const { return tokens_.type(id); }
  [[nodiscard]] bool is_control(int32_t id) const {
    return token_type(id) == TokenType::kControl || token_type(id) == TokenType::kUnknown;
  }
  [[nodiscard]] bool is_end_of_generation(int32_t id) const;
  // The control or unknown token of that spelling; kNoToken if there is none.
  [[nodiscard]] int32_t FindControl(std::string_view spelling) const;

  // The tokens with a role; kNoToken for a role nobody has.
  [[nodiscard]] const SpecialTokens& special() const { return special_; }
  [[nodiscard]] int32_t bos() const { return special_.bos; }
  [[nodiscard]] int32_t eos() const { return special_.eos; }
  [[nodiscard]] bool adds_bos() const { return prefix_ != kNoToken; }
  [[nodiscard]] bool adds_eos() const { return suffix_ != kNoToken; }
  // Encoding puts a space before a text.
  [[nodiscard]] bool adds_space_prefix() const { return space_prefix_; }

  // What was doubtful in the file and how it was taken, one line each: "" when nothing was.
  [[nodiscard]] const std::string& warning() const { return warning_; }
  // What is only worth knowing; empty for none.
  [[nodiscard]] const std::string& note() const { return note_; }
  [[nodiscard]] size_t heap_bytes() const;

 private:
  // A part of the joined text, from the end of the one before to `end`.
  struct Stretch {
    size_t end;
    bool parse_special;
  };
  struct SpecialMatch {
    int32_t id = kNoToken;
    size_t bytes = 0;
  };

  Tokenizer() = default;
  [[nodiscard]] Result<std::vector<int32_t>> EncodePieces(std::span<const TextPiece> pieces,
                                                          bool add_special, bool text_start) const;
  [[nodiscard]] Status Build(VocabData data);
  [[nodiscard]] Status IndexSpecialTokens();
  [[nodiscard]] Status BuildBytePair(const VocabData& data, Alphabet alphabet,
                                     PreTokenizer pre_tokenizer,
                                     std::vector<std::string>* warnings);
  [[nodiscard]] Status RequireScores() const;
  [[nodiscard]] Status BuildSentencePiece(const VocabData& data);
  [[nodiscard]] Status BuildWordPiece(const VocabData& data);
  [[nodiscard]] Status BuildUnigram(const VocabData& data);
  [[nodiscard]] static Status PlaceAround(const char* key, std::optional<bool> wanted,
                                          bool by_default, int32_t id, int32_t* place);
  [[nodiscard]] Status EncodeText(std::string_view text, std::span<const Stretch> stretches,
                                  bool text_start, std::vector<int32_t>* ids) const;
  [[nodiscard]] SpecialMatch SpecialAt(std::string_view text, size_t at, size_t control_end) const;

  TokenTable tokens_;
  SpecialTokens special_;
  std::unique_ptr<SubwordModel> model_;
  std::optional<PrefixIndex> control_tokens_;  // control and unknown
  std::optional<PrefixIndex> user_defined_tokens_;
  int32_t prefix_ = kNoToken, suffix_ = kNoToken;  // what add_special puts around a text
  bool space_prefix_ = false;
  std::string warning_;
  std::string note_;
};

}  // namespace mirage::text
