// SPDX-License-Identifier: Apache-2.0

// Text and tokens of a model: tokenize, detokenize, render, one token.

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "abi/first_sizes.h"
#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/structs.h"
#include "abi/tokenize_flags.h"
#include "session/render.h"
#include "text/chat_template.h"

namespace mirage::abi {
namespace {

constexpr int64_t kClock = std::numeric_limits<int64_t>::min();

mirage_render_options DefaultRenderOptions() {
  mirage_render_options options{};
  options.struct_size = sizeof options;
  options.now = kClock;
  return options;
}

// The model's tokenizer, once the handle has been checked.
Result<const text::Tokenizer*> TokenizerOf(const mirage_model* model) {
  MIRAGE_TRY(CheckHandle(model, "model"));
  return model->model->RequireTokenizer();
}

// By the template that was given, or else the model's.
Result<text::Rendered> Render(const mirage_model* model, const mirage_render_options& options,
                              std::string_view conversation) {
  const text::Tokenizer* tokenizer = nullptr;
  if (model != nullptr) {
    MIRAGE_TRY_ASSIGN(tokenizer, TokenizerOf(model));
  }
  std::optional<int64_t> now;
  if (options.now != kClock) now = options.now;
  if (options.chat_template != nullptr)
    return session::RenderWithTemplate(
        std::string_view(options.chat_template, options.chat_template_bytes), conversation,
        tokenizer, now);
  if (model == nullptr)
    return Fail(Code::kInvalidArgument, "neither a model nor options->chat_template is given");
  MIRAGE_TRY_ASSIGN(const text::ChatTemplate* const own, model->model->RequireChatTemplate());
  return session::RenderConversation(*own, conversation, tokenizer, now);
}

}  // namespace
}  // namespace mirage::abi

using namespace mirage;       // NOLINT: extern "C" functions cannot live in a namespace
using namespace mirage::abi;  // NOLINT

extern "C" {

mirage_status mirage_tokenize(const mirage_model* model, const char* text, size_t text_bytes,
                              uint32_t flags, int32_t* tokens, size_t capacity, size_t* count,
                              mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY_ASSIGN(const text::Tokenizer* const tokenizer, TokenizerOf(model));
    MIRAGE_TRY(CheckSpan(text, text_bytes, "text"));
    MIRAGE_TRY_ASSIGN(const text::EncodeOptions options, ReadTokenizeFlags(flags));
    MIRAGE_TRY_ASSIGN(const std::vector<int32_t> ids,
                      tokenizer->Encode(std::string_view(text, text_bytes), options));
    return WriteArray(ids.data(), ids.size(), tokens, capacity, count, "tokens");
  });
}

mirage_status mirage_detokenize(const mirage_model* model, const int32_t* tokens, size_t count,
                                uint32_t flags, char* text, size_t capacity, size_t* text_bytes,
                                mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY_ASSIGN(const text::Tokenizer* const tokenizer, TokenizerOf(model));
    MIRAGE_TRY(CheckSpan(tokens, count, "tokens"));
    if ((flags & ~uint32_t{MIRAGE_DETOKENIZE_SPECIAL}) != 0)
      return Fail(Code::kUnsupported,
                  "detokenize flags " + std::to_string(flags) + ": only bit 0 is known");
    text::DecodeOptions options;
    options.special = (flags & MIRAGE_DETOKENIZE_SPECIAL) != 0;
    std::string decoded;
    MIRAGE_TRY(tokenizer->Decode(std::span(tokens, count), options, &decoded));
    return WriteArray(decoded.data(), decoded.size(), text, capacity, text_bytes, "bytes");
  });
}

void mirage_render_options_init(mirage_render_options* options, size_t struct_size) {
  InitOptions(options, struct_size, DefaultRenderOptions());
}

mirage_status mirage_render(const mirage_model* model, const mirage_render_options* options,
                            const char* conversation, size_t conversation_bytes, char* text,
                            size_t capacity, size_t* text_bytes, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY_ASSIGN(
        const mirage_render_options given,
        ReadOptions(options, DefaultRenderOptions(), kFirstRenderOptions, "mirage_render_options"));
    MIRAGE_TRY(CheckReserved(given.reserved, "mirage_render_options"));
    MIRAGE_TRY(CheckSpan(conversation, conversation_bytes, "conversation"));
    MIRAGE_TRY(CheckSpan(given.chat_template, given.chat_template_bytes, "options->chat_template"));
    MIRAGE_TRY_ASSIGN(const text::Rendered rendered,
                      Render(model, given, std::string_view(conversation, conversation_bytes)));
    return WriteArray(rendered.text.data(), rendered.text.size(), text, capacity, text_bytes,
                      "bytes");
  });
}

mirage_status mirage_model_get_token(const mirage_model* model, int32_t token, mirage_token* info,
                                     mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY_ASSIGN(const text::Tokenizer* const tokenizer, TokenizerOf(model));
    if (!tokenizer->has_token(token))
      return Fail(Code::kNotFound, "token " + std::to_string(token) + " of " +
                                       std::to_string(tokenizer->token_count()));
    mirage_token filled{};
    filled.type = static_cast<int32_t>(tokenizer->token_type(token));
    filled.text = tokenizer->TokenText(token).data();
    filled.text_bytes = tokenizer->TokenText(token).size();
    filled.ends_generation = tokenizer->is_end_of_generation(token) ? 1 : 0;
    return WriteOut(info, filled, "info");
  });
}

mirage_status mirage_tokenize_conversation(const mirage_model* model, const char* conversation,
                                           size_t conversation_bytes, int32_t* tokens,
                                           size_t capacity, size_t* count, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY(CheckSpan(conversation, conversation_bytes, "conversation"));
    MIRAGE_TRY_ASSIGN(
        const std::vector<int32_t> ids,
        model->model->TokenizeConversation(std::string_view(conversation, conversation_bytes)));
    return WriteArray(ids.data(), ids.size(), tokens, capacity, count, "tokens");
  });
}

}  // extern "C"
