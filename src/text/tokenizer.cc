// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/file_error.h"
#include "base/printable.h"
#include "text/byte_pair.h"
#include "text/detokenizer.h"
#include "text/pre_tokenizer.h"
#include "text/sentence_piece.h"
#include "text/unicode.h"
#include "text/unigram.h"
#include "text/word_piece.h"

namespace mirage::text {
namespace {

constexpr bool IsAsciiSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool Holds(const std::vector<int32_t>& sorted, int32_t id) {
  return std::binary_search(sorted.begin(), sorted.end(), id);
}

// The bytes of well-formed UTF-8 that have no token of their own.
size_t BytesWithoutToken(const TokenTable& tokens) {
  size_t missing = 0;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool occurs = byte < 0xC0 || (byte >= 0xC2 && byte <= 0xF4);
    missing += occurs && tokens.byte_token(static_cast<unsigned char>(byte)) == kNoToken;
  }
  return missing;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::Create(VocabData data) {
  std::unique_ptr<Tokenizer> tokenizer(new Tokenizer);
  MIRAGE_TRY(tokenizer->Build(std::move(data)));
  return tokenizer;
}

Status Tokenizer::Build(VocabData data) {
  const bool bert = data.model == "bert", t5 = data.model == "t5", gemma4 = data.model == "gemma4";
  const bool byte_pair = data.model == "gpt2" || gemma4, sentence_piece = data.model == "llama";
  if (!bert && !t5 && !byte_pair && !sentence_piece)
    return KeyError(Code::kUnsupported, "tokenizer.ggml.model",
                    data.model.empty()
                        ? "is empty or missing"
                        : "is '" + Printable(data.model, 64) + "', which is not supported");
  std::vector<std::string> warnings;

  MIRAGE_TRY_ASSIGN(PreTokenizer pre_tokenizer, PreTokenizer::Create(gemma4 ? "gemma4" : data.pre));
  const PreTokenizer::Traits traits = byte_pair ? pre_tokenizer.traits() : PreTokenizer::Traits{};
  const Alphabet alphabet =
      byte_pair && !traits.space_mark ? Alphabet::kGpt2Bytes : Alphabet::kSentencePiece;
  MIRAGE_TRY_ASSIGN(tokens_, TokenTable::Create(&data, alphabet));
  MIRAGE_TRY_ASSIGN(special_, SpecialTokens::Resolve(data, &tokens_, &warnings));
  tokens_.Index();
  MIRAGE_TRY(IndexSpecialTokens());

  if (byte_pair) {
    MIRAGE_TRY(BuildBytePair(data, alphabet, std::move(pre_tokenizer), &warnings));
  } else if (sentence_piece) {
    MIRAGE_TRY(BuildSentencePiece(data));
  } else if (bert) {
    MIRAGE_TRY(BuildWordPiece(data));
  } else {
    MIRAGE_TRY(BuildUnigram(data));
  }

  if (traits.forces_bos) data.add_bos.reset();
  MIRAGE_TRY(PlaceAround("add_bos_token", data.add_bos, sentence_piece || bert || traits.add_bos,
                         special_.bos, &prefix_));
  if (bert)
    MIRAGE_TRY(PlaceAround("add_sep_token", data.add_sep, true, special_.sep, &suffix_));
  else
    MIRAGE_TRY(PlaceAround("add_eos_token", data.add_eos, t5, special_.eos, &suffix_));

  for (const std::string& line : warnings) warning_ += (warning_.empty() ? "" : "\n") + line;
  return {};
}

Status Tokenizer::BuildBytePair(const VocabData& data, Alphabet alphabet,
                                PreTokenizer pre_tokenizer, std::vector<std::string>* warnings) {
  constexpr const char* kDefaultRules =
      "; text is cut by the default rules, which may not be the model's";
  if (!pre_tokenizer.known())
    warnings->push_back(
        (data.pre.empty() ? "tokenizer.ggml.pre is missing"
                          : "tokenizer.ggml.pre '" + Printable(data.pre, 64) + "' is not known") +
        kDefaultRules);
  if (data.merges.empty())
    return KeyError(Code::kCorrupt, "tokenizer.ggml.merges", "is empty or missing");
  MIRAGE_TRY_ASSIGN(MergeTable merges, MergeTable::Create(data.merges, alphabet, tokens_));
  if (merges.skipped() > 0)
    warnings->push_back("tokenizer.ggml.merges: " + std::to_string(merges.skipped()) +
                        " merges name what is no token and are left out");
  const int32_t unknown = pre_tokenizer.traits().space_mark ? special_.unk : kNoToken;
  const size_t missing = BytesWithoutToken(tokens_);
  if (missing > 0 && unknown == kNoToken)
    note_ = "tokenizer.ggml.tokens: " + std::to_string(missing) +
            " bytes have no token and are dropped from text";
  model_ = std::make_unique<BytePairModel>(tokens_, std::move(pre_tokenizer), std::move(merges),
                                           unknown);
  return {};
}

Status Tokenizer::RequireScores() const {
  if (tokens_.has_scores()) return {};
  return KeyError(Code::kCorrupt, "tokenizer.ggml.scores", "is missing");
}

Status Tokenizer::BuildSentencePiece(const VocabData& data) {
  MIRAGE_TRY(RequireScores());
  const size_t missing = BytesWithoutToken(tokens_);
  if (missing > 0 && special_.unk == kNoToken)
    return KeyError(
        Code::kCorrupt, "tokenizer.ggml.tokens",
        "has no token for " + std::to_string(missing) + " bytes, and there is no unknown token");
  space_prefix_ = data.add_space_prefix.value_or(true);
  model_ = std::make_unique<SentencePieceModel>(tokens_, space_prefix_, special_.unk);
  return {};
}

Status Tokenizer::BuildWordPiece(const VocabData& data) {
  if (special_.unk == kNoToken)
    return KeyError(Code::kCorrupt, "tokenizer.ggml.unknown_token_id", "is missing");
  const bool lowercase = data.lowercase.value_or(true);
  space_prefix_ = true;  // a word's first token carries the space before it
  model_ = std::make_unique<WordPieceModel>(
      tokens_, WordPieceModel::Options{lowercase, data.strip_accents.value_or(lowercase)},
      special_.unk);
  return {};
}

Status Tokenizer::BuildUnigram(const VocabData& data) {
  if (special_.unk == kNoToken)
    return KeyError(Code::kCorrupt, "tokenizer.ggml.unknown_token_id", "is missing");
  MIRAGE_TRY(RequireScores());
  MIRAGE_TRY_ASSIGN(Charsmap charsmap, Charsmap::Create(data.precompiled_charsmap));
  space_prefix_ = data.add_space_prefix.value_or(false);
  const UnigramModel::Options options{space_prefix_, data.remove_extra_whitespaces.value_or(false),
                                      special_.unk};
  MIRAGE_TRY_ASSIGN(model_, UnigramModel::Create(tokens_, std::move(charsmap), options));
  return {};
}

// Puts a token before or after every text. A flag that is set for a token without an id is an error
// in the file; a default is not.
Status Tokenizer::PlaceAround(const char* key, std::optional<bool> wanted, bool by_default,
                              int32_t id, int32_t* place) {
  if (!wanted.value_or(by_default)) return {};
  if (wanted && id == kNoToken)
    return KeyError(Code::kCorrupt, std::string("tokenizer.ggml.") + key,
                    "is set but the token has no id");
  *place = id;
  return {};
}

Status Tokenizer::IndexSpecialTokens() {
  std::vector<int32_t> control, user_defined;
  for (size_t i = 0; i < tokens_.count(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const TokenType type = tokens_.type(id);
    if (IsOrdinary(type) || type == TokenType::kByte) continue;
    if (tokens_.text(id).size() > kMaxSpecialTokenBytes)
      return ElementError(Code::kCorrupt, "tokenizer.ggml.tokens", i,
                          "is a special token of " + std::to_string(tokens_.text(id).size()) +
                              " bytes, the limit is " + std::to_string(kMaxSpecialTokenBytes));
    (type == TokenType::kUserDefined ? user_defined : control).push_back(id);
  }
  control_tokens_.emplace(tokens_, std::move(control));
  user_defined_tokens_.emplace(tokens_, std::move(user_defined));
  return {};
}

Result<std::vector<int32_t>> Tokenizer::Encode(std::string_view utf8, EncodeOptions options) const {
  const TextPiece piece{utf8, options.parse_special};
  return EncodePieces(std::span(&piece, 1), options.add_special, options.text_start);
}

Result<std::vector<int32_t>> Tokenizer::EncodePieces(std::span<const TextPiece> pieces,
                                                     bool add_special, bool text_start) const {
  size_t total = 0;
  for (const TextPiece& piece : pieces) {
    total += std::min(piece.text.size(), kMaxTextBytes + 1);
    if (total > kMaxTextBytes)
      return Fail(Code::kInvalidArgument,
                  "text of more than " + std::to_string(kMaxTextBytes) + " bytes");
  }
  std::string text;
  text.reserve(total);
  std::vector<Stretch> stretches;
  for (const TextPiece& piece : pieces) {
    // Each piece is mended by itself: bytes of two authors never make one code point.
    const std::optional<std::string> repaired = RepairUtf8(piece.text);
    text += repaired ? *repaired : piece.text;
    if (!stretches.empty() && stretches.back().parse_special == piece.parse_special)
      stretches.back().end = text.size();
    else
      stretches.push_back({text.size(), piece.parse_special});
  }
  std::vector<int32_t> ids;
  if (add_special && prefix_ != kNoToken) ids.push_back(prefix_);
  MIRAGE_TRY(EncodeText(text, stretches, text_start, &ids));
  if (add_special && suffix_ != kNoToken) ids.push_back(suffix_);
  return ids;
}

// Special tokens first, leftmost and longest; the model takes the runs between them.
Status Tokenizer::EncodeText(std::string_view text, std::span<const Stretch> stretches,
                             bool text_start, std::vector<int32_t>* ids) const {
  size_t run = 0;
  bool after_special = text_start;
  const auto encode_run = [&](size_t end) -> Status {
    if (end <= run) return {};
    MIRAGE_TRY(model_->Encode(text.substr(run, end - run), after_special, ids));
    after_special = false;
    return {};
  };
  size_t at = 0;
  for (const Stretch& stretch : stretches) {
    while (at < stretch.end) {
      const auto [id, bytes] = SpecialAt(text, at, stretch.parse_special ? stretch.end : at);
      if (id == kNoToken) {
        ++at;
        continue;
      }
      size_t end = at;
      if (Holds(special_.strips_left, id))
        while (end > run && IsAsciiSpace(text[end - 1])) --end;
      MIRAGE_TRY(encode_run(end));
      ids->push_back(id);
      after_special = true;
      at += bytes;
      if (Holds(special_.strips_right, id))
        while (at < text.size() && IsAsciiSpace(text[at])) ++at;
      run = at;
    }
  }
  return encode_run(text.size());
}

// The longest special token at `at`; control tokens must end by `control_end`.
Tokenizer::SpecialMatch Tokenizer::SpecialAt(std::string_view text, size_t at,
                                             size_t control_end) const {
  SpecialMatch longest;
  const auto visit = [&](int32_t id, size_t bytes) {
    if (bytes > longest.bytes) longest = {id, bytes};
  };
  control_tokens_->ForEachPrefix(text.substr(at, control_end - at), visit);
  user_defined_tokens_->ForEachPrefix(text.substr(at), visit);
  return longest;
}

int32_t Tokenizer::FindControl(std::string_view spelling) const {
  int32_t found = kNoToken;
  control_tokens_->ForEachPrefix(spelling, [&](int32_t id, size_t bytes) {
    if (bytes == spelling.size()) found = id;
  });
  return found;
}

Status Tokenizer::Decode(std::span<const int32_t> ids, DecodeOptions options,
                         std::string* out) const {
  Detokenizer detokenizer(*this, options);
  for (const int32_t id : ids) MIRAGE_TRY(detokenizer.Push(id, out));
  detokenizer.Flush(out);
  return {};
}

bool Tokenizer::is_end_of_generation(int32_t id) const {
  return Holds(special_.end_of_generation, id);
}

size_t Tokenizer::heap_bytes() const {
  return sizeof(*this) + tokens_.heap_bytes() + model_->heap_bytes() +
         control_tokens_->heap_bytes() + user_defined_tokens_->heap_bytes() + warning_.capacity() +
         note_.capacity() +
         (special_.end_of_generation.capacity() + special_.strips_left.capacity() +
          special_.strips_right.capacity()) *
             sizeof(int32_t);
}

}  // namespace mirage::text
