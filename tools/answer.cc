// SPDX-License-Identifier: Apache-2.0

#include "tools/answer.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <utility>

#include "tools/interrupt.h"
#include "tools/json.h"
#include "tools/progress.h"

namespace mirage::cli {
namespace {

constexpr int64_t kLookAroundMs = 100;  // how often a wait looks for Ctrl-C

std::string LogprobText(const mirage_model* model, int32_t token, float logprob) {
  const std::string text = Detokenize(model, {token}, MIRAGE_DETOKENIZE_SPECIAL);
  return fmt::format("{} {:.4f}", Json(text).dump(-1, ' ', false, Json::error_handler_t::replace),
                     logprob);
}

// Those of a TOKENS or PROMPT event.
void AppendTokens(const mirage_event& event, std::vector<Answer::Token>* tokens) {
  for (size_t i = 0; i < event.token_count; ++i) {
    Answer::Token token;
    token.token = event.tokens[i];
    if (event.logprobs != nullptr) token.logprob = event.logprobs[i];
    if (event.top != nullptr)
      token.top.assign(event.top + i * event.top_count, event.top + (i + 1) * event.top_count);
    tokens->push_back(std::move(token));
  }
}

// A TEXT or TOOL_CALL event.
void AppendPiece(const mirage_event& event, Answer* answer) {
  if (event.kind == MIRAGE_EVENT_TOOL_CALL)
    answer->calls.push_back({{event.call_id, event.call_id_bytes},
                             {event.call_name, event.call_name_bytes},
                             {event.call_arguments, event.call_arguments_bytes}});
  else
    (event.text_kind == MIRAGE_TEXT_REASONING ? answer->reasoning : answer->text)
        .append(event.text, event.text_bytes);
}

}  // namespace

Json CallJson(const Answer::Call& call) {
  return {{"id", call.id},
          {"type", "function"},
          {"function",
           {{"name", call.name}, {"arguments", Json::parse(call.arguments, nullptr, false)}}}};
}

void PrintLogprobs(const mirage_model* model, const std::vector<Answer::Token>& tokens) {
  for (const Answer::Token& token : tokens) {
    std::string line = LogprobText(model, token.token, token.logprob) + " of";
    for (const mirage_token_logprob& other : token.top)
      line += "  " + LogprobText(model, other.token, other.logprob);
    fmt::print(stderr, "{}\n", line);
  }
}

void NoteFullContext(const Answer& answer, const mirage_session* session, int64_t max_tokens) {
  if (answer.stats.dropped_tokens > 0)
    fmt::print(stderr, "mirage: {} tokens were dropped to make room in the context of {}\n",
               answer.stats.dropped_tokens, SessionStats(session).context);
  if (answer.finish != MIRAGE_FINISH_LENGTH) return;
  if (max_tokens >= 0 && static_cast<int64_t>(answer.tokens.size()) >= max_tokens) return;
  fmt::print(stderr, "mirage: the answer fills the context of {} tokens; -c gives a longer one\n",
             SessionStats(session).context);
}

const char* FinishName(int32_t finish) {
  switch (finish) {
    case MIRAGE_FINISH_STOP:
      return "stop";
    case MIRAGE_FINISH_LENGTH:
      return "length";
    case MIRAGE_FINISH_CANCELLED:
      return "cancelled";
    case MIRAGE_FINISH_DEADLINE:
      return "deadline";
    default:
      return "error";
  }
}

Answer Generate(mirage_session* session, const mirage_generation_options& options,
                const OnPiece& on_piece) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_event event{};
  event.struct_size = sizeof event;
  const GenerationHandle generation = StartGeneration(session, options);
  std::optional<ProgressBar> prompt_bar(std::in_place, "prompt");
  const uint64_t prompt_tokens = GenerationStats(generation.get()).prompt_tokens;
  Answer answer;
  bool cancelled = false;
  while (event.kind != MIRAGE_EVENT_DONE) {
    if (Interrupted() && !cancelled) {
      Check(mirage_generation_cancel(generation.get(), MIRAGE_CANCEL_STOP, &error), error, "");
      cancelled = true;
    }
    const mirage_status status =
        mirage_generation_next(generation.get(), kLookAroundMs, &event, &error);
    if (status == MIRAGE_TIMEOUT) {
      if (prompt_bar) prompt_bar->Update(SessionStats(session).cached_tokens, prompt_tokens);
      continue;
    }
    if (event.kind == MIRAGE_EVENT_DONE && status != MIRAGE_OK)
      answer.failure = FailureOf(status, error, "");
    else
      Check(status, error, "");
    if (event.kind != MIRAGE_EVENT_DONE) prompt_bar.reset();
    if (event.kind == MIRAGE_EVENT_TEXT || event.kind == MIRAGE_EVENT_TOOL_CALL) {
      AppendPiece(event, &answer);
      on_piece(event);
    }
    if (event.kind == MIRAGE_EVENT_PROMPT) AppendTokens(event, &answer.prompt);
    if (event.kind == MIRAGE_EVENT_TOKENS) AppendTokens(event, &answer.tokens);
  }
  answer.finish = event.finish;
  answer.stats = GenerationStats(generation.get());
  return answer;
}

}  // namespace mirage::cli
