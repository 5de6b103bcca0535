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
    MIRAGE_TRY_ASSIGN(session::SessionOptions given, ReadSessionOptions(options));
    auto handle = std::make_unique<mirage_session>();
    MIRAGE_TRY_ASSIGN(handle->session, session::Session::Create(model->model, std::move(given)));
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

mirage_status mirage_session_append_tool_result(mirage_session* session, const char* call_id,
                                                const char* name, const char* content,
                                                size_t content_bytes, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(session, "session"));
    MIRAGE_TRY(CheckPointer(call_id, "call_id"));
    MIRAGE_TRY(CheckPointer(name, "name"));
    MIRAGE_TRY(CheckSpan(content, content_bytes, "content"));
    return session->session->AppendToolResult(call_id, name,
                                              std::string_view(content, content_bytes));
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

mirage_status mirage_session_append_infill(mirage_session* session, const char* prefix,
                                           size_t prefix_bytes, const char* suffix,
                                           size_t suffix_bytes, const char* context,
                                           size_t context_bytes, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(session, "session"));
    MIRAGE_TRY(CheckSpan(prefix, prefix_bytes, "prefix"));
    MIRAGE_TRY(CheckSpan(suffix, suffix_bytes, "suffix"));
    MIRAGE_TRY(CheckSpan(context, context_bytes, "context"));
    return session->session->AppendInfill({std::string_view(prefix, prefix_bytes),
                                           std::string_view(suffix, suffix_bytes),
                                           std::string_view(context, context_bytes)});
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

}  // extern "C"
