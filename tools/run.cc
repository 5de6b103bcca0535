// SPDX-License-Identifier: Apache-2.0

// mirage run: one prompt, one answer.

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/answer.h"
#include "tools/answer_printer.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/json.h"
#include "tools/tools_file.h"

namespace mirage::cli {
namespace {

struct RunFlags {
  ModelFlags model;
  OverflowFlags overflow;
  SamplingFlags sampling;
  std::string prompt;
  std::optional<std::string> system;
  std::optional<std::string> tools;                // a file
  std::optional<std::string> suffix, pre_context;  // of a middle to be filled in
  bool raw = false;
  bool json = false;

  // The prompt stands as it is given, without a chat template.
  [[nodiscard]] bool plain() const { return raw || suffix.has_value(); }
};

// Of a raw prompt: as the model likes it.
constexpr uint32_t kTokenize = MIRAGE_TOKENIZE_ADD_SPECIAL | MIRAGE_TOKENIZE_PARSE_SPECIAL;

void AddPrompt(mirage_session* session, const RunFlags& flags,
               const std::optional<std::string>& tools) {
  mirage_error error = MIRAGE_ERROR_INIT;
  if (flags.suffix) {
    const std::string context = flags.pre_context.value_or("");
    Check(mirage_session_append_infill(session, flags.prompt.data(), flags.prompt.size(),
                                       flags.suffix->data(), flags.suffix->size(), context.data(),
                                       context.size(), &error),
          error, "--suffix");
    return;
  }
  if (flags.raw) {
    Check(mirage_session_append_text(session, flags.prompt.data(), flags.prompt.size(), kTokenize,
                                     &error),
          error, "the prompt");
    return;
  }
  if (tools) AppendTools(session, *tools);
  if (flags.system) AppendMessage(session, "system", *flags.system);
  AppendMessage(session, "user", flags.prompt);
}

int64_t PromptTokens(const mirage_model* model, const RunFlags& flags,
                     const std::optional<std::string>& tools) {
  const auto count = [&](const std::string& text, uint32_t how) {
    return static_cast<int64_t>(Tokenize(model, text, how).size());
  };
  if (flags.suffix) {
    constexpr int64_t kMarks = 4;  // the begin token; before the prefix, the suffix and the middle
    return count(flags.pre_context.value_or(""), 0) + count(flags.prompt, 0) +
           count(*flags.suffix, 0) + kMarks;
  }
  if (flags.raw) return count(flags.prompt, kTokenize);
  Json messages = Json::array();
  if (flags.system) messages.push_back({{"role", "system"}, {"content", *flags.system}});
  messages.push_back({{"role", "user"}, {"content", flags.prompt}});
  const std::string conversation = "{\"messages\":" + Dump(messages) +
                                   ",\"tools\":" + tools.value_or("null") +
                                   ",\"add_generation_prompt\":true}";
  return static_cast<int64_t>(
      ReadBuffer<std::vector<int32_t>>("", [&](int32_t* out, size_t capacity, size_t* count,
                                               mirage_error* error) {
        return mirage_tokenize_conversation(model, conversation.data(), conversation.size(), out,
                                            capacity, count, error);
      }).size());
}

void RequireChatTemplate(const mirage_model* model, const RunFlags& flags) {
  if (flags.plain() || ModelInfo(model).has_chat_template == 1) return;
  throw Failure(kBadInput,
                fmt::format("{}: the model has no chat template; --raw continues a prompt as it "
                            "stands",
                            flags.model.model));
}

// How many tokens of context the prompt with its answer wants, and the fewest that will do: all of
// an answer whose length was asked for, the beginning of another.
struct Wanted {
  int64_t prompt = 0;
  int64_t least = 0;
  int64_t all = 0;
};

Wanted WantedContext(const mirage_model* model, const RunFlags& flags,
                     const std::optional<std::string>& tools) {
  constexpr int64_t kAnswerTokens = 256;  // where none is asked for, the least to make room for
  constexpr int64_t kLeastAnswer = 16;    // cut short where there is no memory for more
  const int64_t trained = ModelInfo(model).trained_context;
  const int64_t most = trained > 0 ? trained : std::numeric_limits<int64_t>::max();
  const int64_t prompt = PromptTokens(model, flags, tools);
  const int64_t room = std::max<int64_t>(0, most - prompt - 1);
  // More than the model was made for is a cap; nobody waits for an answer of that length.
  const bool asked = flags.sampling.max_tokens >= 0 && flags.sampling.max_tokens <= room;
  const int64_t answer = asked ? flags.sampling.max_tokens : std::min(kAnswerTokens, room);
  const int64_t least = asked ? answer : std::min(kLeastAnswer, room);
  return {prompt, prompt + least + 1, prompt + answer + 1};
}

// The longest context from `wanted.least` to `wanted.all` that there is memory for; the least where
// there is not enough even for that, so that loading it says what would be.
int64_t LongestContext(const mirage_model* model, const ModelFlags& flags, const Wanted& wanted) {
  ModelFlags tried = flags;
  const auto fits = [&](int64_t context) {
    tried.context = context;
    return PlanOf(model, tried.PlanOptions()).fits != 0;
  };
  if (fits(wanted.all)) return wanted.all;
  int64_t low = wanted.least;
  for (int64_t high = wanted.all; high - low > 1;) {
    const int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

// The model with the context that lets it keep its weights at hand; null where not even the
// shortest fits the memory and what would do depends on the prompt.
ModelHandle LoadFreely(mirage_runtime* runtime, const RunFlags& flags) {
  try {
    return flags.model.Load(runtime, 1);
  } catch (const Failure& failure) {
    if (failure.status() != MIRAGE_OUT_OF_MEMORY || flags.overflow.overflow != "error") throw;
    return nullptr;
  }
}

// Unless one was given, the context is the one that lets the model keep its weights at hand. A
// prompt that is too long for it, or its answer where that fits, is worth streaming weights. What
// may be dropped need not fit.
ModelHandle LoadForPrompt(mirage_runtime* runtime, const RunFlags& flags,
                          const std::optional<std::string>& tools) {
  if (flags.model.context != 0) {
    ModelHandle model = flags.model.Load(runtime, 1);
    RequireChatTemplate(model.get(), flags);
    return model;
  }
  ModelHandle model = LoadFreely(runtime, flags);
  const bool loaded = model != nullptr;
  if (!loaded) model = OpenVocabulary(runtime, flags.model.model);
  RequireChatTemplate(model.get(), flags);
  const Wanted wanted = WantedContext(model.get(), flags, tools);
  ModelFlags longer = flags.model;
  if (loaded) {
    const int64_t context = ModelInfo(model.get()).context;
    if (wanted.all <= context) return model;
    longer.context = wanted.all;
    const bool may_be_cut = wanted.least <= context || flags.overflow.overflow != "error";
    if (may_be_cut && PlanOf(model.get(), longer.PlanOptions()).fits == 0) return model;
  }
  longer.context = LongestContext(model.get(), flags.model, wanted);
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
          {"adapters", memory.adapters_bytes},
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

Json LogprobsJson(const std::vector<Answer::Token>& tokens) {
  Json all = Json::array();
  for (const Answer::Token& token : tokens) {
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

  Json prompt;  // null: the session no longer holds it
  if (answer.stats.shifts == 0) {
    std::vector<int32_t> tokens = SessionTokens(session);
    tokens.resize(answer.stats.prompt_tokens);
    prompt = std::move(tokens);
  }
  std::vector<int32_t> tokens;
  for (const Answer::Token& token : answer.tokens) tokens.push_back(token.token);
  Json json = {{"text", answer.text}};
  if (!answer.reasoning.empty()) json["reasoning"] = answer.reasoning;
  for (const Answer::Call& call : answer.calls) json["tool_calls"].push_back(CallJson(call));
  json["prompt_tokens"] = prompt;
  json["tokens"] = tokens;
  if (options.prompt_logprobs > 0) {
    json["prompt_logprobs"] = LogprobsJson(answer.prompt);
    json["prompt_logprobs"].insert(json["prompt_logprobs"].begin(), nullptr);  // the first token's
  }
  if (options.logprobs > 0) json["logprobs"] = LogprobsJson(answer.tokens);
  json["finish"] = FinishName(answer.finish);
  if (answer.stats.dropped_tokens > 0) {
    json["dropped_tokens"] = answer.stats.dropped_tokens;
    json["shifts"] = answer.stats.shifts;
  }
  if (answer.failure) json["error"] = answer.failure->what();
  json["sampling"] = SamplingJson(options, answer.stats.seed);
  json["timings"] = TimingsJson(model_stats, answer.stats);
  json["memory"] = MemoryJson(memory, model_stats, runtime_stats);
  return json;
}

int Run(const RunFlags& flags) {
  CatchInterrupts();
  const mirage_session_options session_options = flags.overflow.SessionOptions();
  std::optional<Grammar> grammar = flags.sampling.grammar.Read();
  const std::optional<std::string> tools = ReadTools(flags.tools);
  const RuntimeHandle runtime = flags.model.Open();
  const ModelHandle model = LoadForPrompt(runtime.get(), flags, tools);
  const SessionHandle session = OpenSession(model.get(), &session_options);
  AddPrompt(session.get(), flags, tools);
  const ModelHandle draft =
      flags.model.LoadDraft(runtime.get(), model.get(), flags.sampling.draft_model);
  const Adapters adapters(model.get(), flags.model.lora);
  const GenerationOptions options(model.get(), flags.sampling, std::move(grammar), adapters,
                                  draft.get());
  AnswerPrinter printer;
  const Answer answer = Generate(session.get(), options.get(), [&](const mirage_event& event) {
    if (!flags.json) printer.Print(event);
  });
  if (flags.json) {
    WriteStandardOutput(
        Dump(AnswerJson(answer, options.get(), runtime.get(), model.get(), session.get())));
  } else {
    printer.End();
    PrintLogprobs(model.get(), answer.prompt);
    if (options.get().logprobs > 0) PrintLogprobs(model.get(), answer.tokens);
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
  flags->model.lora.Add(*command);
  flags->overflow.Add(*command);
  flags->sampling.Add(*command);
  flags->sampling.AddPromptReport(*command);
  command->add_option("-p,--prompt", flags->prompt, "The prompt")->required();
  CLI::Option* system =
      command->add_option("--system", flags->system, "A system message before it");
  CLI::Option* raw =
      command->add_flag("--raw", flags->raw, "No chat template: continue the prompt as it stands")
          ->excludes(system);
  CLI::Option* tools = command->add_option("--tools", flags->tools, kAboutTools)->excludes(raw);
  CLI::Option* suffix =
      command
          ->add_option("--suffix", flags->suffix,
                       "Fill in the middle: write what stands between the prompt and this text")
          ->excludes(system, raw, tools);
  command
      ->add_option("--pre-context", flags->pre_context,
                   "With --suffix: text before both, such as other files")
      ->needs(suffix);
  command->add_flag("--json", flags->json, "One JSON value instead of text");
}

}  // namespace mirage::cli
