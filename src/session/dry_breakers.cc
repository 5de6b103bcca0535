// SPDX-License-Identifier: Apache-2.0

#include "session/dry_breakers.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

namespace mirage::session {
namespace {

using Tokens = std::vector<int32_t>;

// `text` as tokens that go on after other text. A vocabulary may begin a text with a space and
// merge over borders, so it is encoded after a text that it does not merge with, and cut off there.
Result<Tokens> EncodeContinuation(const text::Tokenizer& tokenizer, std::string_view text) {
  Tokens whole;
  for (const std::string_view before : {"\n", ".", "0"}) {
    const std::string joined = std::string(before) + std::string(text);
    MIRAGE_TRY_ASSIGN(whole,
                      tokenizer.Encode(joined, {.add_special = false, .parse_special = true}));
    std::string spelt;
    for (size_t i = 0; i < whole.size() && spelt.size() <= before.size(); ++i) {
      spelt += tokenizer.TokenText(whole[i]);
      if (spelt == before || spelt == " " + std::string(before))
        return Tokens(whole.begin() + static_cast<ptrdiff_t>(i + 1), whole.end());
    }
  }
  MIRAGE_TRY_ASSIGN(whole, tokenizer.Encode(text, {.add_special = false, .parse_special = true}));
  return whole;
}

Status AddBreaker(const text::Tokenizer& tokenizer, std::string_view breaker,
                  std::vector<Tokens>* sequences) {
  std::vector<std::optional<Tokens>> rests(breaker.size());  // by the bytes before them
  for (int32_t token = 0; tokenizer.has_token(token); ++token) {
    const std::string_view text = tokenizer.TokenText(token);
    if (text.find(breaker) != std::string_view::npos) {
      sequences->push_back({token});
      continue;
    }
    for (size_t begun = std::min(text.size(), breaker.size() - 1); begun > 0; --begun) {
      if (!text.ends_with(breaker.substr(0, begun))) continue;
      if (!rests[begun].has_value()) {
        MIRAGE_TRY_ASSIGN(rests[begun], EncodeContinuation(tokenizer, breaker.substr(begun)));
      }
      Tokens sequence = {token};
      sequence.insert(sequence.end(), rests[begun]->begin(), rests[begun]->end());
      sequences->push_back(std::move(sequence));
    }
  }
  return {};
}

}  // namespace

Status CheckDryBreakers(const std::vector<std::string>& strings) {
  if (strings.size() > kMostBreakers)
    return Fail(Code::kInvalidArgument, "dry_breakers has " + std::to_string(strings.size()) +
                                            " strings, expected at most " +
                                            std::to_string(kMostBreakers));
  for (const std::string& string : strings)
    if (string.empty() || string.size() > kMostBreakerBytes)
      return Fail(Code::kInvalidArgument,
                  "dry_breakers has a string of " + std::to_string(string.size()) +
                      " bytes, expected 1 to " + std::to_string(kMostBreakerBytes));
  return {};
}

Result<std::shared_ptr<const sample::TokenSequences>> CompileDryBreakers(
    const text::Tokenizer& tokenizer, const std::vector<std::string>& strings) {
  MIRAGE_TRY(CheckDryBreakers(strings));
  if (strings.empty()) return nullptr;
  std::vector<Tokens> sequences;
  for (const std::string& string : strings) MIRAGE_TRY(AddBreaker(tokenizer, string, &sequences));
  return std::make_shared<const sample::TokenSequences>(std::move(sequences));
}

}  // namespace mirage::session
