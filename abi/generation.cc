// SPDX-License-Identifier: Apache-2.0

// mirage_generation.

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "abi/answer_format.h"
#include "abi/call_out.h"
#include "abi/first_sizes.h"
#include "abi/grammar_options.h"
#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/sampling_options.h"
#include "abi/structs.h"
#include "base/guarded.h"

namespace mirage::abi {
namespace {

constexpr int32_t kMostDraftTokens = 64;
constexpr int32_t kHighestPriority = 100;

mirage_generation_options DefaultGenerationOptions() {
  const sample::Params sampling;
  mirage_generation_options options{};
  options.struct_size = sizeof options;
  options.samples = 1;
  options.max_tokens = -1;
  options.prompt_logprobs_first = 1;
  options.deadline_ms = -1;
  ShowSampling(sampling, &options);
  return options;
}

void ApplyModelDefaults(const session::LoadedModel& model, mirage_generation_options* options) {
  ShowSampling(model.sampling_defaults(), options);
  if (!model.sampler_names().empty()) options->samplers = model.sampler_names().c_str();
}

Result<mirage_generation_options> ReadRawGenerationOptions(const mirage_generation_options* given) {
  return ReadOptions(given, DefaultGenerationOptions(), kFirstGenerationOptions,
                     "mirage_generation_options");
}

Result<std::vector<session::AdapterChoice>> ReadAdapters(const mirage_generation_options& options) {
  MIRAGE_TRY(CheckSpan(options.adapters, options.adapter_count, "adapters"));
  if (options.adapter_count > model::kMostAdapters)
    return Fail(Code::kInvalidArgument, "adapter_count is " +
                                            std::to_string(options.adapter_count) + "; at most " +
                                            std::to_string(model::kMostAdapters) + " are allowed");
  std::vector<session::AdapterChoice> choices;
  for (size_t i = 0; i < options.adapter_count; ++i) {
    const mirage_adapter_use& use = options.adapters[i];
    MIRAGE_TRY(CheckReserved(use.reserved, "mirage_adapter_use"));
    MIRAGE_TRY(CheckHandle(use.adapter, ("adapters[" + std::to_string(i) + "].adapter").c_str()));
    choices.push_back({use.adapter->adapter, use.scale});
  }
  return choices;
}

Result<session::GenerationOptions> ReadGenerationOptions(const mirage_generation_options& options,
                                                         const session::LoadedModel& model) {
  MIRAGE_TRY(CheckReserved(options.reserved, "mirage_generation_options"));
  if (options.draft_tokens < 0 || options.draft_tokens > kMostDraftTokens)
    return Fail(Code::kInvalidArgument, "draft_tokens is " + std::to_string(options.draft_tokens) +
                                            "; 0 to " + std::to_string(kMostDraftTokens) +
                                            " are allowed");
  if (options.priority < -kHighestPriority || options.priority > kHighestPriority)
    return Fail(Code::kInvalidArgument,
                "priority is " + std::to_string(options.priority) + "; -100 to 100 are allowed");
  if (options.deadline_ms < -1)
    return Fail(Code::kInvalidArgument, "deadline_ms is " + std::to_string(options.deadline_ms));
  if (options.sampler != MIRAGE_SAMPLER_DEFAULT && options.sampler != MIRAGE_SAMPLER_EXTERNAL)
    return Fail(Code::kUnsupported,
                "sampler is " + std::to_string(options.sampler) + "; 0 and 1 are known");
  MIRAGE_TRY(CheckAnswerFormat(options.answer_format));
  MIRAGE_TRY(CheckFlag(options.has_seed, "has_seed"));
  MIRAGE_TRY(CheckFlag(options.ignore_eos, "ignore_eos"));
  MIRAGE_TRY(CheckFlag(options.strict_max_tokens, "strict_max_tokens"));
  MIRAGE_TRY(CheckFlag(options.echo, "echo"));
  MIRAGE_TRY(CheckSpan(options.stop_tokens, options.stop_token_count, "stop_tokens"));
  MIRAGE_TRY(CheckSpan(options.stop_strings, options.stop_string_count, "stop_strings"));
  if (options.callback == nullptr && options.callback_user_data != nullptr)
    return Fail(Code::kInvalidArgument, "callback_user_data is set without a callback");

  session::GenerationOptions read;
  MIRAGE_TRY(ReadSampling(options, &read));
  MIRAGE_TRY_ASSIGN(read.grammar, ReadGrammar(options));
  if (options.answer_format != MIRAGE_ANSWER_AUTO)
    read.answer_format = AnswerFormatFor(options.answer_format, &model);
  if (options.has_seed == 1) read.seed = options.seed;
  read.external_sampler = options.sampler == MIRAGE_SAMPLER_EXTERNAL;
  read.samples = options.samples;
  read.max_tokens = options.max_tokens;
  read.strict_max_tokens = options.strict_max_tokens == 1;
  if (options.deadline_ms >= 0) read.deadline_ms = options.deadline_ms;
  read.ignore_eos = options.ignore_eos == 1;
  read.stop_tokens.assign(options.stop_tokens, options.stop_tokens + options.stop_token_count);
  for (size_t i = 0; i < options.stop_string_count; ++i) {
    const mirage_string& string = options.stop_strings[i];
    MIRAGE_TRY(CheckSpan(string.text, string.bytes, "a stop string"));
    read.stop_strings.emplace_back(string.text != nullptr ? std::string(string.text, string.bytes)
                                                          : std::string());
  }
  read.logprobs = options.logprobs;
  read.echo = options.echo == 1;
  read.prompt_logprobs = options.prompt_logprobs;
  read.prompt_logprobs_first = options.prompt_logprobs_first;
  read.priority = options.priority;
  read.draft_tokens = options.draft_tokens;
  if (options.draft_model != nullptr) {
    MIRAGE_TRY(CheckHandle(options.draft_model, "draft_model"));
    read.draft_model = options.draft_model->model;
  }
  MIRAGE_TRY_ASSIGN(read.adapters, ReadAdapters(options));
  return read;
}

// `event` as the header shows it; its pointers live as long as `event`.
mirage_event MakePublicEvent(const session::Event& event) {
  static_assert(sizeof(mirage_token_logprob) == sizeof(TokenLogprob));
  static_assert(offsetof(mirage_token_logprob, logprob) == offsetof(TokenLogprob, logprob));
  const auto shown = [](const TokenLogprob* top) {
    return reinterpret_cast<const mirage_token_logprob*>(top);
  };
  mirage_event made{};
  made.struct_size = sizeof made;
  made.sample_index = event.sample;
  switch (event.kind) {
    case session::Event::Kind::kTokens:
      made.kind = MIRAGE_EVENT_TOKENS;
      made.tokens = &event.output.choice.token;
      made.token_count = 1;
      if (!event.output.choice.top.empty()) {
        made.logprobs = &event.output.choice.logprob;
        made.top = shown(event.output.choice.top.data());
        made.top_count = event.output.choice.top.size();
      }
      break;
    case session::Event::Kind::kPrompt: {
      const engine::PromptPart& part = *event.output.prompt;
      made.kind = MIRAGE_EVENT_PROMPT;
      made.tokens = part.tokens.data();
      made.token_count = part.tokens.size();
      made.logprobs = part.logprobs.data();
      made.top = shown(part.top.data());
      made.top_count = static_cast<size_t>(part.top_count);
      made.position = static_cast<uint64_t>(part.first);
      break;
    }
    case session::Event::Kind::kText:
      made.kind = MIRAGE_EVENT_TEXT;
      made.text = event.text.c_str();
      made.text_bytes = event.text.size();
      made.text_kind = event.of_reasoning ? MIRAGE_TEXT_REASONING : MIRAGE_TEXT_CONTENT;
      break;
    case session::Event::Kind::kToolCall:
      made.kind = MIRAGE_EVENT_TOOL_CALL;
      made.call_id = event.call.id.c_str();
      made.call_id_bytes = event.call.id.size();
      made.call_name = event.call.name.c_str();
      made.call_name_bytes = event.call.name.size();
      made.call_arguments = event.call.arguments.c_str();
      made.call_arguments_bytes = event.call.arguments.size();
      break;
    case session::Event::Kind::kChoose:
      made.kind = MIRAGE_EVENT_LOGITS;
      made.logits = event.output.logits.data();
      made.logit_count = event.output.logits.size();
      break;
    case session::Event::Kind::kSampleDone:
      made.kind = MIRAGE_EVENT_SAMPLE_DONE;
      made.finish = static_cast<int32_t>(event.output.finish);
      break;
    case session::Event::Kind::kDone:
      made.kind = MIRAGE_EVENT_DONE;
      made.finish = static_cast<int32_t>(event.output.finish);
      break;
  }
  return made;
}

// Milliseconds as a caller gives them; what is too long to count waits for ever.
std::chrono::nanoseconds WaitOf(int64_t timeout_ms) {
  constexpr int64_t kLongest = int64_t{1} << 40;
  if (timeout_ms < 0 || timeout_ms > kLongest) return std::chrono::nanoseconds(-1);
  return std::chrono::milliseconds(timeout_ms);
}

double Seconds(int64_t from_ns, int64_t to_ns) {
  return from_ns > 0 && to_ns > from_ns ? static_cast<double>(to_ns - from_ns) * 1e-9 : 0.0;
}

}  // namespace
}  // namespace mirage::abi

using namespace mirage;       // NOLINT: extern "C" functions cannot live in a namespace
using namespace mirage::abi;  // NOLINT

extern "C" {

void mirage_generation_options_init(mirage_generation_options* options, size_t struct_size) {
  InitOptions(options, struct_size, DefaultGenerationOptions());
}

mirage_status mirage_model_get_generation_options(const mirage_model* model,
                                                  mirage_generation_options* options,
                                                  mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY(CheckPointer(options, "options"));
    MIRAGE_TRY(model->model->RequireTokenizer());
    MIRAGE_TRY_ASSIGN(mirage_generation_options changed, ReadRawGenerationOptions(options));
    ApplyModelDefaults(*model->model, &changed);
    return WriteOut(options, changed, "options");
  });
}

mirage_status mirage_generation_start(mirage_session* session,
                                      const mirage_generation_options* options,
                                      mirage_generation** out, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(PrepareOut(out));
    MIRAGE_TRY(CheckHandle(session, "session"));
    MIRAGE_TRY_ASSIGN(mirage_generation_options given, ReadRawGenerationOptions(options));
    if (options == nullptr) ApplyModelDefaults(session->session->model(), &given);
    MIRAGE_TRY_ASSIGN(session::GenerationOptions read,
                      ReadGenerationOptions(given, session->session->model()));
    auto handle = std::make_unique<mirage_generation>();
    mirage_generation* const generation = handle.get();
    session::Run::Callback callback;
    if (given.callback != nullptr) {
      callback = [generation, call = given.callback,
                  user_data = given.callback_user_data](const session::Event& event) {
        const mirage_event made = MakePublicEvent(event);
        AbiCallEvent(call, generation, &made, user_data);
      };
      session->session->model().runtime().dispatcher().Start();
    }
    MIRAGE_TRY_ASSIGN(handle->generation, session->session->Start(std::move(read)));
    // Nothing fails from here on, and the handle is set before the first callback.
    *out = handle.release();
    if (callback) generation->generation->run().BeginCallbacks(std::move(callback));
    return {};
  });
}

mirage_status mirage_generation_next(mirage_generation* generation, int64_t timeout_ms,
                                     mirage_event* event, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(WriteOut(event, mirage_event{}, "event"));
    MIRAGE_TRY(CheckHandle(generation, "generation"));
    if (timeout_ms != 0) MIRAGE_TRY(CheckMayBlock("mirage_generation_next with a timeout"));
    if (timeout_ms < -1)
      return Fail(Code::kInvalidArgument, "timeout_ms is " + std::to_string(timeout_ms));
    MIRAGE_TRY_ASSIGN(std::optional<session::Event> next,
                      generation->generation->run().Next(WaitOf(timeout_ms)));
    if (!next.has_value())
      return Fail(Code::kTimeout, "no event within " + std::to_string(timeout_ms) + " ms");
    generation->event = *std::move(next);
    MIRAGE_TRY(WriteOut(event, MakePublicEvent(generation->event), "event"));
    if (generation->event.kind == session::Event::Kind::kDone &&
        generation->event.output.finish == engine::Finish::kError)
      return Fail(CopyOf(generation->event.output.error));
    return {};
  });
}

mirage_status mirage_generation_get_fd(mirage_generation* generation, int32_t* fd,
                                       mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(generation, "generation"));
    MIRAGE_TRY(CheckPointer(fd, "fd"));
    MIRAGE_TRY_ASSIGN(*fd, generation->generation->run().Descriptor());
    return {};
  });
}

mirage_status mirage_generation_cancel(mirage_generation* generation, int32_t mode,
                                       mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(generation, "generation"));
    if (mode != MIRAGE_CANCEL_STOP && mode != MIRAGE_CANCEL_ROLLBACK)
      return Fail(Code::kUnsupported,
                  "cancel mode " + std::to_string(mode) + "; 0 and 1 are known");
    generation->generation->run().Cancel(static_cast<engine::CancelMode>(mode));
    return {};
  });
}

mirage_status mirage_generation_accept(mirage_generation* generation, int32_t token,
                                       mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(generation, "generation"));
    return generation->generation->run().Accept(token);
  });
}

void mirage_generation_close(mirage_generation* generation) { CloseHandle(generation); }

mirage_status mirage_generation_get_stats(const mirage_generation* generation,
                                          mirage_generation_stats* stats, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckHandle(generation, "generation"));
    const session::Generation& of = *generation->generation;
    const engine::RequestStats now = of.run().stats();
    mirage_generation_stats filled{};
    filled.finish = static_cast<int32_t>(of.run().finish());
    filled.seed = of.seed();
    filled.prompt_tokens = static_cast<uint64_t>(of.prompt().tokens);
    filled.cached_tokens = static_cast<uint64_t>(now.cached_tokens);
    filled.output_tokens = static_cast<uint64_t>(now.output_tokens);
    filled.wait_s = Seconds(now.submitted_ns, now.first_step_ns);
    filled.prompt_s = Seconds(now.first_step_ns, now.first_token_ns);
    filled.output_s = Seconds(now.first_token_ns, now.last_token_ns);
    filled.memory_waits = static_cast<uint64_t>(now.waits_for_pages);
    filled.preemptions = static_cast<uint64_t>(now.preemptions);
    filled.drafted_tokens = static_cast<uint64_t>(now.guessed_tokens);
    filled.accepted_tokens = static_cast<uint64_t>(now.accepted_tokens);
    filled.dropped_tokens = static_cast<uint64_t>(of.prompt().dropped + now.dropped_tokens);
    filled.shifts = static_cast<uint64_t>(now.shifts);
    return WriteOut(stats, filled, "stats");
  });
}

}  // extern "C"
