// SPDX-License-Identifier: Apache-2.0

#include "session/render.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

namespace mirage::session {
namespace {

std::string TokenJson(const text::Tokenizer& tokenizer, int32_t token) {
  if (token == text::kNoToken) return "null";
  const nlohmann::json text = tokenizer.TokenText(token);
  return text.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Puts the defaults in front of the object's own members: of equal keys a template sees the last.
std::string WithTokens(std::string_view json, const text::Tokenizer& tokenizer) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t brace = json.find_first_not_of(kSpace);
  if (brace == json.npos || json[brace] != '{') return std::string(json);
  const size_t member = json.find_first_not_of(kSpace, brace + 1);
  if (member == json.npos || json[member] == '}') return std::string(json);
  return "{\"bos_token\":" + TokenJson(tokenizer, tokenizer.bos()) +
         ",\"eos_token\":" + TokenJson(tokenizer, tokenizer.eos()) + "," +
         std::string(json.substr(member));
}

int64_t SecondsSince1970() {
  using std::chrono::system_clock;
  return std::chrono::duration_cast<std::chrono::seconds>(system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Result<text::Rendered> RenderConversation(const text::ChatTemplate& chat_template,
                                          std::string_view json, const text::Tokenizer* tokenizer,
                                          std::optional<int64_t> now) {
  const std::string with_tokens =
      tokenizer == nullptr ? std::string(json) : WithTokens(json, *tokenizer);
  text::RenderInput input;
  input.json = with_tokens;
  input.now_seconds = now.has_value() ? *now : SecondsSince1970();
  return chat_template.Render(input);
}

Result<std::vector<int32_t>> TokenizeRendered(const text::Rendered& rendered,
                                              const text::Tokenizer& tokenizer) {
  const std::string_view text = rendered.text;
  std::vector<text::TextPiece> pieces;
  size_t at = 0;
  const auto add = [&](size_t end, bool parse_special) {
    if (end > at) pieces.push_back({text.substr(at, end - at), parse_special});
    at = end;
  };
  for (const text::ByteSpan& span : rendered.input_spans) {
    add(span.begin, true);
    add(span.end, false);
  }
  add(text.size(), true);
  MIRAGE_TRY_ASSIGN(std::vector<int32_t> tokens, tokenizer.Encode(pieces, false));
  if (tokenizer.adds_bos() && (tokens.empty() || tokens.front() != tokenizer.bos()))
    tokens.insert(tokens.begin(), tokenizer.bos());
  return tokens;
}

}  // namespace mirage::session
