// SPDX-License-Identifier: Apache-2.0

// mirage run: one prompt, one answer.

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/answer.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/json.h"

namespace mirage::cli {
namespace {

struct RunFlags {
  ModelFlags model;
  SamplingFlags sampling;
  std::string prompt;
  std::optional<std::string> system;
  bool raw = false;
  bool json = false;
};

// Of a raw prompt: as the model likes it.
constexpr uint32_t kTokenize = MIRAGE_TOKENIZE_ADD_SPECIAL | MIRAGE_TOKENIZE_PARSE_SPECIAL;

void AddPrompt(mirage_session* session, const RunFlags& flags) {
  mirage_error error = MIRAGE_ERROR_INIT;
  if (flags.raw) {
    Check(mirage_session_append_text(session, flags.prompt.data(), flags.prompt.size(), kTokenize,
                                     &error),
          error, "the prompt");
    return;
  }
  if (flags.system) AppendMessage(session, "system", *flags.system);
  AppendMessage(session, "user", flags.prompt);
}

int64_t PromptTokens(const mirage_model* model, const RunFlags& flags) {
  if (flags.raw) return static_cast<int64_t>(Tokenize(model, flags.prompt, kTokenize).size());
  Json messages = Json::array();
  if (flags.system) messages.push_back({{"role", "system"}, {"content", *flags.system}});
  messages.push_back({{"role", "user"}, {"content", flags.prompt}});
  const std::string conversation =
      Dump({{"messages", std::move(messages)}, {"add_generation_prompt", true}});
  return static_cast<int64_t>(
      ReadBuffer<std::vector<int32_t>>("", [&](int32_t* out, size_t capacity, size_t* count,
                                               mirage_error* error) {
        return mirage_tokenize_conversation(model, conversation.data(), conversation.size(), out,
                                            capacity, count, error);
      }).size());
}

// Unless one was given, the context is the one that lets the model keep its weights at hand. A
// prompt that is too long for it, or its answer where that fits, is worth streaming weights.
ModelHandle LoadForPrompt(mirage_runtime* runtime, const RunFlags& flags) {
  constexpr int64_t kAnswerTokens = 256;  // where none is asked for, the least to make room for
  ModelHandle model = flags.model.Load(runtime, 1);
  if (!flags.raw && ModelInfo(model.get()).has_chat_template != 1)
    throw Failure(kBadInput,
                  fmt::format("{}: the model has no chat template; --raw continues a prompt as it "
                              "stands",
                              flags.model.model));
  if (flags.model.context != 0) return model;
  const mirage_model_info info = ModelInfo(model.get());
  const int64_t prompt = PromptTokens(model.get(), flags);
  const int64_t answer = flags.sampling.max_tokens >= 0 ? flags.sampling.max_tokens : kAnswerTokens;
  ModelFlags longer = flags.model;
  longer.context = prompt + answer + 1;
  if (info.trained_context > 0) longer.context = std::min(longer.context, info.trained_context);
  if (longer.context <= info.context) return model;
  const bool may_be_cut = prompt < info.context;
  if (may_be_cut && PlanOf(model.get(), longer.PlanOptions()).fits == 0) return model;
  model.reset();
  return longer.Load(runtime, 1);
}

double PerSecond(uint64_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
}

Json TimingsJson(const mirage_model_stats& model, const mirage_generation_stats& stats) {
  const uint64_t computed = stats.prompt_tokens - stats.cached_tokens;
  const uint64_t decoded =
      stats.output_tokens > 0 ? stats.output_tokens - 1 : 0;  // the first comes with the prompt
  Json timings = {{"load_s", model.load_s},
                  {"prefill_tok_s", PerSecond(computed, stats.prompt_s)},
                  {"decode_tok_s", PerSecond(decoded, stats.output_s)},
                  {"ttft_s", stats.wait_s + stats.prompt_s}};
  if (stats.drafted_tokens > 0) {
    timings["drafted_tokens"] = stats.drafted_tokens;
    timings["accepted_tokens"] = stats.accepted_tokens;
  }
  return timings;
}

Json MemoryJson(const mirage_memory& memory, const mirage_model_stats& model,
                const mirage_runtime_stats& runtime) {
  const uint64_t streamed = runtime.steps > 0 ? model.streamed_bytes / runtime.steps : 0;
  return {{"limit", memory.limit_bytes},
          {"weights", memory.weights_bytes + memory.mapped_bytes},
          {"kv", memory.kv_bytes},
          {"slots", memory.slots_bytes},
          {"tables", memory.tables_bytes},
          {"workspace", memory.workspace_bytes},
          {"sessions", memory.sessions_bytes},
          {"peak", memory.peak_bytes},
          {"streamed_bytes_per_token", streamed},
          {"hidden_s", model.hidden_s},
          {"unhidden_s", model.unhidden_s}};
}

Json SamplingJson(const mirage_generation_options& options, uint64_t seed) {
  return {{"temperature", options.temperature},
          {"top_k", options.top_k},
          {"top_p", options.top_p},
          {"min_p", options.min_p},
          {"typical_p", options.typical_p},
          {"repeat_penalty", options.repeat_penalty},
          {"repeat_last_n", options.repeat_last_n},
          {"presence_penalty", options.presence_penalty},
          {"frequency_penalty", options.frequency_penalty},
          {"top_n_sigma", options.top_n_sigma},
          {"dry_multiplier", options.dry_multiplier},
          {"dry_base", options.dry_base},
          {"dry_allowed_length", options.dry_allowed_length},
          {"dry_penalty_last_n", options.dry_penalty_last_n},
          {"xtc_probability", options.xtc_probability},
          {"xtc_threshold", options.xtc_threshold},
          {"dynatemp_range", options.dynatemp_range},
          {"dynatemp_exponent", options.dynatemp_exponent},
          {"mirostat", options.mirostat},
          {"mirostat_tau", options.mirostat_tau},
          {"mirostat_eta", options.mirostat_eta},
          {"samplers", options.samplers != nullptr ? Json(options.samplers) : Json()},
          {"seed", seed}};
}

Json LogprobsJson(const Answer& answer) {
  Json all = Json::array();
  for (const Answer::Token& token : answer.tokens) {
    Json top = Json::array();
    for (const mirage_token_logprob& other : token.top)
      top.push_back({{"token", other.token}, {"logprob", other.logprob}});
    all.push_back({{"token", token.token}, {"logprob", token.logprob}, {"top", std::move(top)}});
  }
  return all;
}

Json AnswerJson(const Answer& answer, const mirage_generation_options& options,
                mirage_runtime* runtime, const mirage_model* model, mirage_session* session) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_memory memory{};
  memory.struct_size = sizeof memory;
  Check(mirage_runtime_get_memory(runtime, &memory, &error), error, "");
  mirage_runtime_stats runtime_stats{};
  runtime_stats.struct_size = sizeof runtime_stats;
  Check(mirage_runtime_get_stats(runtime, &runtime_stats, &error), error, "");
  mirage_model_stats model_stats{};
  model_stats.struct_size = sizeof model_stats;
  Check(mirage_model_get_stats(model, &model_stats, &error), error, "");

  std::vector<int32_t> prompt = SessionTokens(session);
  prompt.resize(answer.stats.prompt_tokens);
  std::vector<int32_t> tokens;
  for (const Answer::Token& token : answer.tokens) tokens.push_back(token.token);
  Json json = {{"text", answer.text}, {"prompt_tokens", prompt}, {"tokens", tokens}};
  if (options.logprobs > 0) json["logprobs"] = LogprobsJson(answer);
  json["finish"] = FinishName(answer.finish);
  if (answer.failure) json["error"] = answer.failure->what();
  json["sampling"] = SamplingJson(options, answer.stats.seed);
  json["timings"] = TimingsJson(model_stats, answer.stats);
  json["memory"] = MemoryJson(memory, model_stats, runtime_stats);
  return json;
}

int Run(const RunFlags& flags) {
  CatchInterrupts();
  std::optional<Grammar> grammar = flags.sampling.grammar.Read();
  const RuntimeHandle runtime = flags.model.Open();
  const ModelHandle model = LoadForPrompt(runtime.get(), flags);
  const SessionHandle session = OpenSession(model.get());
  AddPrompt(session.get(), flags);
  const GenerationOptions options(model.get(), flags.sampling, std::move(grammar));
  const Answer answer = Generate(session.get(), options.get(), [&](const std::string& piece) {
    if (!flags.json) WriteStandardOutput(piece);
  });
  if (flags.json) {
    WriteStandardOutput(
        Dump(AnswerJson(answer, options.get(), runtime.get(), model.get(), session.get())));
  } else {
    WriteStandardOutput("\n");
    if (options.get().logprobs > 0) PrintLogprobs(model.get(), answer);
  }
  if (answer.failure) throw Failure(*answer.failure);
  NoteFullContext(answer, session.get(), flags.sampling.max_tokens);
  return answer.finish == MIRAGE_FINISH_CANCELLED ? kInterrupted : kDone;
}

}  // namespace

void AddRun(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<RunFlags>();
  CLI::App* command = AddCommand(app, chosen, "run", "Answers one prompt", flags, Run);
  flags->model.AddModel(*command);
  flags->model.AddRunning(*command);
  flags->sampling.Add(*command);
  command->add_option("-p,--prompt", flags->prompt, "The prompt")->required();
  CLI::Option* system =
      command->add_option("--system", flags->system, "A system message before it");
  command->add_flag("--raw", flags->raw, "No chat template: continue the prompt as it stands")
      ->excludes(system);
  command->add_flag("--json", flags->json, "One JSON value instead of text");
}

}  // namespace mirage::cli
