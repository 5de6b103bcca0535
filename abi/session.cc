// SPDX-License-Identifier: Apache-2.0

// mirage_session, and scoring, which is a session's work without a session.

#include <string>
#include <string_view>
#include <vector>

#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/session_options.h"
#include "abi/structs.h"
#include "abi/tokenize_flags.h"

using namespace mirage;       // NOLINT: extern "C" functions cannot live in a namespace
using namespace mirage::abi;  // NOLINT

extern "C" {

void mirage_session_options_init(mirage_session_options* options, size_t struct_size) {
  InitOptions(options, struct_size, DefaultSessionOptions());
}

mirage_status mirage_session_open(mirage_model* model, const mirage_session_options* options,
                                  mirage_session** out, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(PrepareOut(out));
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY_ASSIGN(const mirage_session_options given, ReadSessionOptions(options));
    MIRAGE_TRY_ASSIGN(engine::PrefixSharing sharing, ReadSharing(given));
    auto handle = std::make_unique<mirage_session>();
    MIRAGE_TRY_ASSIGN(handle->session,
                      session::Session::Create(model->model, given.context, std::move(sharing)));
    *out = handle.release();
    return {};
  });
}

void mirage_session_close(mirage_session* session) { CloseHandle(session); }

mirage_status mirage_session_fork(mirage_session* session, mirage_session** out,
                                  mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(PrepareOut(out));
    MIRAGE_TRY(CheckHandle(session, "session"));
    auto handle = std::make_unique<mirage_session>();
    MIRAGE_TRY_ASSIGN(handle->session, session->session->Fork());
    *out = handle.release();
    return {};
  });
}

mirage_status mirage_session_append_message(mirage_session* session, const char* role,
                                            const char* content, size_t content_bytes,
                                            mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(session, "session"));
    MIRAGE_TRY(CheckPointer(role, "role"));
    MIRAGE_TRY(CheckSpan(content, content_bytes, "content"));
    return session->session->AppendMessage(role, std::string_view(content, content_bytes));
  });
}

mirage_status mirage_session_append_conversation(mirage_session* session, const char* json,
                                                 size_t json_bytes, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(session, "session"));
    MIRAGE_TRY(CheckSpan(json, json_bytes, "json"));
    return session->session->AppendConversation(std::string_view(json, json_bytes));
  });
}

mirage_status mirage_session_append_text(mirage_session* session, const char* text,
                                         size_t text_bytes, uint32_t flags, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(session, "session"));
    MIRAGE_TRY(CheckSpan(text, text_bytes, "text"));
    MIRAGE_TRY_ASSIGN(const text::EncodeOptions options, ReadTokenizeFlags(flags));
    return session->session->AppendText(std::string_view(text, text_bytes), options);
  });
}

mirage_status mirage_session_append_tokens(mirage_session* session, const int32_t* tokens,
                                           size_t count, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(session, "session"));
    MIRAGE_TRY(CheckSpan(tokens, count, "tokens"));
    return session->session->AppendTokens(std::span(tokens, count));
  });
}

mirage_status mirage_session_get_tokens(mirage_session* session, int32_t* tokens, size_t capacity,
                                        size_t* count, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(session, "session"));
    MIRAGE_TRY_ASSIGN(const std::vector<int32_t> held, session->session->Tokens());
    return WriteArray(held.data(), held.size(), tokens, capacity, count, "tokens");
  });
}

mirage_status mirage_session_truncate(mirage_session* session, uint64_t count,
                                      mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(session, "session"));
    return session->session->Truncate(count);
  });
}

mirage_status mirage_session_clear(mirage_session* session, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(session, "session"));
    return session->session->Clear();
  });
}

mirage_status mirage_session_get_stats(const mirage_session* session, mirage_session_stats* stats,
                                       mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(session, "session"));
    const session::SessionStats now = session->session->stats();
    mirage_session_stats filled{};
    filled.busy = now.busy ? 1 : 0;
    filled.messages = now.messages;
    filled.tokens = static_cast<uint64_t>(now.tokens);
    filled.waiting_tokens = static_cast<uint64_t>(now.waiting);
    filled.cached_tokens = static_cast<uint64_t>(now.cached);
    filled.context = static_cast<uint64_t>(now.context);
    return WriteOut(stats, filled, "stats");
  });
}

mirage_status mirage_score(mirage_model* model, const int32_t* tokens, size_t count, size_t first,
                           float* logprobs, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY(CheckMayBlock("mirage_score"));
    MIRAGE_TRY(CheckSpan(tokens, count, "tokens"));
    MIRAGE_TRY(CheckPointer(logprobs, "logprobs"));
    if (first < 1 || first >= count)
      return Fail(Code::kInvalidArgument, "first is " + std::to_string(first) + " of " +
                                              std::to_string(count) +
                                              " tokens; it must be at least 1 and below the count");
    MIRAGE_TRY_ASSIGN(const std::vector<double> scores,
                      model->model->Score(std::span(tokens, count), first));
    for (size_t i = 0; i < scores.size(); ++i) logprobs[i] = static_cast<float>(scores[i]);
    return {};
  });
}

}  // extern "C"
