// SPDX-License-Identifier: Apache-2.0

// Any bytes as a vocabulary and a text: an Error of the right kind, or ids that keep the
// tokenizer's promises.
//
// Byte 0 picks the model, byte 1 the pre-tokenizer, byte 2 the flags, byte 3 how many tokens
// follow; a token is a byte with its type (low 3 bits) and length (the rest), a byte of score, and
// its text. Then merges, as many as byte 3 says, each a length and its text; then the charsmap, a
// length and its bytes. What is left is the text.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "tests/fuzz/require.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace mirage::text {
namespace {

constexpr std::array kModels = {"gpt2", "llama", "bert", "t5", "gemma4", "gpt2", "gpt2", "rwkv"};
constexpr std::array kPreTokenizers = {
    "default",     "gpt-2",        "smollm",         "llama-bpe", "qwen2",
    "qwen35",      "gpt-4o",       "tekken",         "kimi-k2",   "youtu",
    "tiny_aya",    "deepseek-llm", "deepseek-coder", "afmoe",     "bloom",
    "jais-2",      "exaone-moe",   "bailingmoe",     "superbpe",  "chameleon",
    "deepseek-v3", "laguna",       "falcon",         "viking",    "sarvam-moe"};

class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}
  uint8_t Byte() {
    const std::string_view taken = Take(1);
    return taken.empty() ? 0 : static_cast<uint8_t>(taken[0]);
  }
  std::string_view Take(size_t bytes) {
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

VocabData ReadVocab(Input* input) {
  VocabData data;
  data.model = kModels[input->Byte() % kModels.size()];
  data.pre = kPreTokenizers[input->Byte() % kPreTokenizers.size()];
  const uint8_t flags = input->Byte(), count = input->Byte();
  if (flags & 1)
    for (unsigned byte = 0; byte < 256; ++byte) {
      char text[8];
      std::snprintf(text, sizeof text, "<0x%02X>", byte);
      (void)data.tokens.Append(text);
      data.types.push_back(static_cast<uint8_t>(TokenType::kByte));
      data.scores.push_back(0);
    }
  for (unsigned i = 0; i < count; ++i) {
    const uint8_t head = input->Byte();
    data.types.push_back(head & 7);
    data.scores.push_back(static_cast<float>(static_cast<int8_t>(input->Byte())));
    (void)data.tokens.Append(input->Take(head >> 3));
  }
  for (unsigned i = 0; i < count; ++i) (void)data.merges.Append(input->Take(input->Byte() & 31));
  if (flags & 2) {
    const std::string_view map = input->Take(input->Byte() * 8u);
    for (const char c : map) data.precompiled_charsmap.push_back(static_cast<std::byte>(c));
  }
  if (flags & 4) data.add_space_prefix = flags & 8;
  if (flags & 16) data.remove_extra_whitespaces = flags & 32;
  if (flags & 64) data.unk = flags >> 7;
  return data;
}

void CheckIds(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options) {
  const auto ids = tokenizer.Encode(text, options);
  Require(ids.has_value(), "a short text can be encoded");
  for (const int32_t id : *ids) {
    Require(tokenizer.has_token(id), "ids are in the vocabulary");
    const bool control =
        tokenizer.token_type(id) == TokenType::kControl && id != tokenizer.special().unk;
    Require(options.parse_special || options.add_special || !control,
            "plain text gives no control token");
  }
  for (const bool special : {false, true}) {
    std::string decoded;
    Require(tokenizer.Decode(*ids, {.special = special}, &decoded).has_value(),
            "ids can be decoded");
    Require(!RepairUtf8(decoded), "decoded text is well-formed");
  }
}

// Pieces joined are the text, wherever they are cut.
void CheckPieces(const Tokenizer& tokenizer, std::string_view text) {
  const std::string repaired = RepairUtf8(text).value_or(std::string(text));
  size_t middle = repaired.size() / 2;
  while (middle > 0 && middle < repaired.size() && (repaired[middle] & 0xC0) == 0x80) --middle;
  const std::string_view view = repaired;
  const TextPiece pieces[] = {{view.substr(0, middle), false}, {view.substr(middle), false}};
  const auto whole = tokenizer.Encode(text, {.add_special = false, .parse_special = false});
  const auto joined = tokenizer.Encode(pieces, false);
  Require(whole && joined && *whole == *joined, "a cut between pieces changes nothing");
}

void Check(std::string_view bytes) {
  Input input(bytes);
  const auto tokenizer = Tokenizer::Create(ReadVocab(&input));
  if (!tokenizer) {
    Require(
        tokenizer.error().code == Code::kCorrupt || tokenizer.error().code == Code::kUnsupported,
        "a bad vocabulary is kCorrupt or kUnsupported");
    Require(!tokenizer.error().message.empty(), "an error has a message");
    return;
  }
  for (const bool special : {false, true})
    CheckIds(**tokenizer, input.rest(), {.add_special = special, .parse_special = special});
  CheckPieces(**tokenizer, input.rest());
}

}  // namespace
}  // namespace mirage::text

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mirage::text::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
