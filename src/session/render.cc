// SPDX-License-Identifier: Apache-2.0

#include "session/render.h"

#include <chrono>
#include <string>

#include "session/deep.h"
#include "text/unicode.h"

namespace mirage::session {
namespace {

std::optional<std::string> TokenText(const text::Tokenizer& tokenizer, int32_t token) {
  if (token == text::kNoToken) return std::nullopt;
  const std::string_view bytes = tokenizer.TokenText(token);
  return text::RepairUtf8(bytes).value_or(std::string(bytes));
}

int64_t SecondsSince1970() {
  using std::chrono::system_clock;
  return std::chrono::duration_cast<std::chrono::seconds>(system_clock::now().time_since_epoch())
      .count();
}

Result<text::Rendered> Render(const text::ChatTemplate& chat_template, std::string_view json,
                              const text::Tokenizer* tokenizer, std::optional<int64_t> now,
                              std::optional<text::ToolCallForm> tool_calls = std::nullopt) {
  text::RenderInput input;
  input.json = json;
  input.tool_calls = tool_calls;
  if (tokenizer != nullptr) {
    input.bos_token = TokenText(*tokenizer, tokenizer->bos());
    input.eos_token = TokenText(*tokenizer, tokenizer->eos());
  }
  input.now_seconds = now.has_value() ? *now : SecondsSince1970();
  return chat_template.Render(input);
}

}  // namespace

Result<text::Rendered> RenderConversation(const text::ChatTemplate& chat_template,
                                          std::string_view json, const text::Tokenizer* tokenizer,
                                          std::optional<int64_t> now) {
  return Deep([&] { return Render(chat_template, json, tokenizer, now); });
}

Result<text::Rendered> RenderConversation(const text::ChatTemplate& chat_template,
                                          std::string_view json, const text::Tokenizer& tokenizer,
                                          const text::ToolCallForm& tool_calls) {
  return Deep([&] { return Render(chat_template, json, &tokenizer, std::nullopt, tool_calls); });
}

Result<text::Rendered> RenderWithTemplate(std::string_view source, std::string_view json,
                                          const text::Tokenizer* tokenizer,
                                          std::optional<int64_t> now) {
  return Deep([&]() -> Result<text::Rendered> {
    MIRAGE_TRY_ASSIGN(const text::ChatTemplate chat_template, text::ChatTemplate::Parse(source));
    return Render(chat_template, json, tokenizer, now);
  });
}

Result<text::ChatTemplate> ParseTemplate(std::string_view source) {
  return Deep([&] { return text::ChatTemplate::Parse(source); });
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
