// SPDX-License-Identifier: Apache-2.0
#include "text/token_table.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/file_error.h"
#include "text/unicode.h"

namespace mirage::text {
namespace {

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kScores = "tokenizer.ggml.scores";
constexpr std::string_view kTypes = "tokenizer.ggml.token_type";

// GPT-2's alphabet: printable Latin-1 bytes are themselves, the other 68 follow from U+0100 in byte
// order.
constexpr bool IsPrintableByte(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<int16_t, 0x144> MakeByteOfCodePoint() {
  std::array<int16_t, 0x144> bytes{};
  for (int16_t& byte : bytes) byte = -1;
  size_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte)
    bytes[IsPrintableByte(byte) ? byte : next++] = static_cast<int16_t>(byte);
  return bytes;
}
constexpr std::array<int16_t, 0x144> kByteOfCodePoint = MakeByteOfCodePoint();

std::optional<std::string> ReadGpt2Bytes(std::string_view text) {
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    const char32_t code_point = DecodeUtf8(text, &at);
    if (code_point >= kByteOfCodePoint.size() || kByteOfCodePoint[code_point] < 0)
      return std::nullopt;
    bytes.push_back(static_cast<char>(kByteOfCodePoint[code_point]));
  }
  return bytes;
}

// The byte that <0xXX> names.
std::optional<char> ReadByteToken(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char digit : text.substr(3, 2)) {
    if (digit >= '0' && digit <= '9')
      value = value * 16 + static_cast<unsigned>(digit - '0');
    else if (digit >= 'A' && digit <= 'F')
      value = value * 16 + static_cast<unsigned>(digit - 'A' + 10);
    else
      return std::nullopt;
  }
  return static_cast<char>(value);
}

Status CheckTokens(const VocabData& data) {
  const size_t count = data.tokens.count();
  if (count == 0) return KeyError(Code::kCorrupt, kTokens, "is empty or missing");
  if (count > TokenTable::kMaxTokens)
    return KeyError(Code::kCorrupt, kTokens,
                    "holds " + std::to_string(count) + " tokens, the limit is " +
                        std::to_string(TokenTable::kMaxTokens));
  const auto check_count = [&](std::string_view key, size_t values) -> Status {
    if (values == 0 || values == count) return {};
    return KeyError(
        Code::kCorrupt, key,
        "holds " + std::to_string(values) + " values for " + std::to_string(count) + " tokens");
  };
  MIRAGE_TRY(check_count(kScores, data.scores.size()));
  MIRAGE_TRY(check_count(kTypes, data.types.size()));
  for (size_t id = 0; id < data.scores.size(); ++id)
    if (!std::isfinite(data.scores[id]))
      return ElementError(Code::kCorrupt, kScores, id, "is not a finite number");
  for (size_t id = 0; id < data.types.size(); ++id)
    if (data.types[id] > static_cast<uint8_t>(TokenType::kByte))
      return ElementError(Code::kCorrupt, kTypes, id,
                          "is " + std::to_string(data.types[id]) + ", types are 0 to 6");
  return {};
}

Status CheckText(std::string_view text, size_t id) {
  if (text.size() > TokenTable::kMaxTokenBytes)
    return ElementError(Code::kCorrupt, kTokens, id,
                        "has " + std::to_string(text.size()) + " bytes, the limit is " +
                            std::to_string(TokenTable::kMaxTokenBytes));
  for (size_t at = 0; at < text.size();) {
    const Utf8Prefix prefix = InspectUtf8(text.substr(at));
    if (prefix.kind != Utf8Prefix::kWhole)
      return ElementError(Code::kCorrupt, kTokens, id,
                          "is not UTF-8 at its byte " + std::to_string(at));
    at += prefix.bytes;
  }
  return {};
}

}  // namespace

std::string ReadSpaceMarks(std::string_view text) {
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    const size_t mark = text.find(kSpaceMark, at);
    bytes.append(text.substr(at, mark == std::string_view::npos ? mark : mark - at));
    if (mark == std::string_view::npos) break;
    bytes.push_back(' ');
    at = mark + kSpaceMark.size();
  }
  return bytes;
}

std::optional<std::string> ReadAlphabet(std::string_view text, Alphabet alphabet) {
  return alphabet == Alphabet::kGpt2Bytes ? ReadGpt2Bytes(text) : ReadSpaceMarks(text);
}

// A token of the file as the table holds it. Files without types spell byte tokens all the same.
Result<TokenTable::Token> TokenTable::ReadToken(std::string_view text, size_t id, bool typed,
                                                Alphabet alphabet) const {
  MIRAGE_TRY(CheckText(text, id));
  Token token{std::string(text), static_cast<TokenType>(types_[id]), false};
  const std::optional<char> byte = ReadByteToken(text);
  if (token.type == TokenType::kByte && !byte)
    return ElementError(Code::kCorrupt, kTokens, id, "is a byte token but not spelt <0xXX>");
  if (token.type == TokenType::kByte || (!typed && byte && alphabet == Alphabet::kSentencePiece)) {
    token.type = TokenType::kByte;
    token.bytes.assign(1, *byte);
  } else if (IsOrdinary(token.type)) {
    std::optional<std::string> plain = ReadAlphabet(text, alphabet);
    token.foreign = !plain;
    if (plain) token.bytes = *std::move(plain);
  }
  return token;
}

Result<TokenTable> TokenTable::Create(VocabData* data, Alphabet alphabet) {
  MIRAGE_TRY(CheckTokens(*data));
  TokenTable table;
  table.byte_tokens_.fill(kNoToken);
  const StringTable source = std::move(data->tokens);
  table.scores_ = std::move(data->scores);
  table.scores_.shrink_to_fit();
  const bool typed = !data->types.empty();
  table.types_ = std::move(data->types);
  table.types_.resize(source.count(), static_cast<uint8_t>(TokenType::kNormal));
  table.types_.shrink_to_fit();

  // The first pass only measures, so that the table takes exactly its bytes.
  size_t total = 0;
  for (size_t id = 0; id < source.count(); ++id) {
    MIRAGE_TRY_ASSIGN(const Token token, table.ReadToken(source[id], id, typed, alphabet));
    total += token.bytes.size();
  }
  table.text_.Reserve(source.count(), total);
  for (size_t id = 0; id < source.count(); ++id) {
    MIRAGE_TRY_ASSIGN(const Token token, table.ReadToken(source[id], id, typed, alphabet));
    MIRAGE_TRY(table.text_.Append(token.bytes));
    table.types_[id] = static_cast<uint8_t>(token.type);
    table.longest_bytes_ = std::max(table.longest_bytes_, token.bytes.size());
    if (token.foreign) table.foreign_.push_back(static_cast<int32_t>(id));
  }
  return table;
}

void TokenTable::Index() {
  size_t ordinary = 0;
  for (const uint8_t type : types_) ordinary += IsOrdinary(static_cast<TokenType>(type));
  slots_.Reserve(ordinary);
  for (size_t id = 0; id < count(); ++id) {
    if (std::binary_search(foreign_.begin(), foreign_.end(), static_cast<int32_t>(id))) continue;
    const std::string_view token = text_[id];
    const TokenType token_type = type(static_cast<int32_t>(id));
    const bool is_byte = token_type == TokenType::kByte;
    if (is_byte || (IsOrdinary(token_type) && token.size() == 1)) {
      int32_t& byte = byte_tokens_[static_cast<unsigned char>(token[0])];
      // A spelt byte token beats the one-letter token, which Find gives anyway.
      if (byte == kNoToken || (is_byte && type(byte) != TokenType::kByte))
        byte = static_cast<int32_t>(id);
    }
    if (!IsOrdinary(token_type) || token.empty()) continue;
    uint32_t& slot =
        slots_.Find(HashBytes(seed_, token), [&](uint32_t other) { return text_[other] == token; });
    if (slot == HashSlots::kEmpty) slot = static_cast<uint32_t>(id);
  }
}

int32_t TokenTable::Find(std::string_view text) const {
  if (text.size() > longest_bytes_) return kNoToken;
  const uint32_t id =
      slots_.Find(HashBytes(seed_, text), [&](uint32_t other) { return text_[other] == text; });
  return id == HashSlots::kEmpty ? kNoToken : static_cast<int32_t>(id);
}

size_t TokenTable::heap_bytes() const {
  return text_.heap_bytes() + scores_.capacity() * sizeof(float) + types_.capacity() +
         foreign_.capacity() * sizeof(int32_t) + slots_.heap_bytes();
}

}  // namespace mirage::text
