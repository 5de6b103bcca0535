// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "text/byte_pair.h"
#include "text/detokenizer.h"
#include "text/pre_tokenizer.h"
#include "text/sentence_piece.h"
#include "text/unicode.h"

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
  std::vector<std::string> warnings;
  const bool gemma4 = data.model == "gemma4";
  const bool byte_pair = data.model == "gpt2" || gemma4;
  if (!byte_pair && data.model != "llama")
    return Fail(Code::kUnsupported, "tokenizer.ggml.model '" + data.model + "' is not supported");

  MIRAGE_TRY_ASSIGN(PreTokenizer pre_tokenizer, PreTokenizer::Create(gemma4 ? "gemma4" : data.pre));
  const PreTokenizer::Traits traits = byte_pair ? pre_tokenizer.traits() : PreTokenizer::Traits{};
  if (byte_pair && !pre_tokenizer.known())
    warnings.push_back(
        data.pre.empty()
            ? "tokenizer.ggml.pre is missing; text is cut by the default rules, which may not be "
              "the model's"
            : "tokenizer.ggml.pre '" + data.pre +
                  "' is not known; text is cut by the default rules, which may not be the model's");

  const Alphabet alphabet =
      byte_pair && !traits.space_mark ? Alphabet::kGpt2Bytes : Alphabet::kSentencePiece;
  MIRAGE_TRY_ASSIGN(tokens_, TokenTable::Create(&data, alphabet));
  MIRAGE_TRY_ASSIGN(special_, SpecialTokens::Resolve(data, &tokens_, &warnings));
  tokens_.Index();
  MIRAGE_TRY(IndexSpecialTokens());

  const size_t missing_bytes = BytesWithoutToken(tokens_);
  if (byte_pair) {
    if (data.merges.empty())
      return Fail(Code::kCorrupt, "tokenizer.ggml.merges is empty or missing");
    MIRAGE_TRY_ASSIGN(MergeTable merges, MergeTable::Create(data.merges, alphabet, tokens_));
    if (merges.skipped() > 0)
      warnings.push_back("tokenizer.ggml.merges: " + std::to_string(merges.skipped()) +
                         " merges name what is no token and are left out");
    const int32_t unknown = traits.space_mark ? special_.unk : kNoToken;
    if (missing_bytes > 0 && unknown == kNoToken)
      warnings.push_back("tokenizer.ggml.tokens: " + std::to_string(missing_bytes) +
                         " bytes have no token and are dropped from text");
    model_ = std::make_unique<BytePairModel>(tokens_, std::move(pre_tokenizer), std::move(merges),
                                             unknown);
  } else {
    if (!tokens_.has_scores()) return Fail(Code::kCorrupt, "tokenizer.ggml.scores is missing");
    if (missing_bytes > 0 && special_.unk == kNoToken)
      return Fail(Code::kCorrupt, "tokenizer.ggml.tokens: " + std::to_string(missing_bytes) +
                                      " bytes have no token and there is no unknown token");
    space_prefix_ = data.add_space_prefix.value_or(true);
    model_ = std::make_unique<SentencePieceModel>(tokens_, space_prefix_, special_.unk);
  }

  const auto around = [&](const char* key, std::optional<bool> wanted, bool by_default, int32_t id,
                          int32_t* place) -> Status {
    if (!wanted.value_or(by_default)) return {};
    if (wanted && id == kNoToken)
      return Fail(Code::kCorrupt,
                  std::string("tokenizer.ggml.") + key + " is set but the token has no id");
    *place = id;
    return {};
  };
  // Gemma 4 files say false and mean true.
  if (gemma4) data.add_bos = special_.bos != kNoToken;
  MIRAGE_TRY(
      around("add_bos_token", data.add_bos, !byte_pair || traits.add_bos, special_.bos, &prefix_));
  MIRAGE_TRY(around("add_eos_token", data.add_eos, false, special_.eos, &suffix_));

  for (const std::string& line : warnings) warning_ += (warning_.empty() ? "" : "\n") + line;
  return {};
}

Status Tokenizer::IndexSpecialTokens() {
  std::vector<int32_t> control, user_defined;
  for (size_t i = 0; i < tokens_.count(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const TokenType type = tokens_.type(id);
    if (IsOrdinary(type) || type == TokenType::kByte) continue;
    if (tokens_.text(id).size() > kMaxSpecialTokenBytes)
      return Fail(Code::kCorrupt,
                  "tokenizer.ggml.tokens[" + std::to_string(i) + "] is a special token of " +
                      std::to_string(tokens_.text(id).size()) + " bytes, the limit is " +
                      std::to_string(kMaxSpecialTokenBytes));
    (type == TokenType::kUserDefined ? user_defined : control).push_back(id);
  }
  control_tokens_.emplace(tokens_, std::move(control));
  user_defined_tokens_.emplace(tokens_, std::move(user_defined));
  return {};
}

Result<std::vector<int32_t>> Tokenizer::Encode(std::string_view utf8, EncodeOptions options) const {
  const TextPiece piece{utf8, options.parse_special};
  return Encode(std::span(&piece, 1), options.add_special);
}

Result<std::vector<int32_t>> Tokenizer::Encode(std::span<const TextPiece> pieces,
                                               bool add_special) const {
  std::string text;
  std::vector<Stretch> stretches;
  for (const TextPiece& piece : pieces) {
    // Each piece is mended by itself: bytes of two authors never make one code point.
    const std::optional<std::string> repaired = RepairUtf8(piece.text);
    text += repaired ? *repaired : piece.text;
    if (text.size() > kMaxTextBytes)
      return Fail(Code::kInvalidArgument,
                  "text of more than " + std::to_string(kMaxTextBytes) + " bytes");
    if (!stretches.empty() && stretches.back().parse_special == piece.parse_special)
      stretches.back().end = text.size();
    else
      stretches.push_back({text.size(), piece.parse_special});
  }
  std::vector<int32_t> ids;
  if (add_special && prefix_ != kNoToken) ids.push_back(prefix_);
  EncodeText(text, stretches, &ids);
  if (add_special && suffix_ != kNoToken) ids.push_back(suffix_);
  return ids;
}

// Special tokens first, leftmost and longest; the model takes the runs between them.
void Tokenizer::EncodeText(std::string_view text, std::span<const Stretch> stretches,
                           std::vector<int32_t>* ids) const {
  size_t run = 0;
  bool after_special = true;
  const auto encode_run = [&](size_t end) {
    if (end <= run) return;
    model_->Encode(text.substr(run, end - run), after_special, ids);
    after_special = false;
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
      encode_run(end);
      ids->push_back(id);
      after_special = true;
      at += bytes;
      if (Holds(special_.strips_right, id))
        while (at < text.size() && IsAsciiSpace(text[at])) ++at;
      run = at;
    }
  }
  encode_run(text.size());
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
         (special_.end_of_generation.capacity() + special_.strips_left.capacity() +
          special_.strips_right.capacity()) *
             sizeof(int32_t);
}

}  // namespace mirage::text
