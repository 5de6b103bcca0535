// SPDX-License-Identifier: Apache-2.0

#include "tools/flags.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <string_view>

#include "tools/command.h"
#include "tools/number.h"
#include "tools/progress.h"
#include "tools/tuning_place.h"

namespace mirage::cli {
namespace {

constexpr int32_t kDraftTokens = 8;  // with a draft model, where nothing else is asked for

template <typename Field>
void Set(Field& field, const std::optional<Field>& given) {
  if (given.has_value()) field = *given;
}

// An option that may be given several times, each time with one text: also "[INST]", of which CLI11
// would make a list.
void AddTexts(CLI::App& command, const char* name, std::vector<std::string>* texts,
              const char* about) {
  command.add_option(name, *texts, std::string(about) + "; may be given several times")
      ->allow_extra_args(false);
}

void PrintTuningWarning(int32_t, const char* subsystem, const char* message, void*) {
  if (std::string_view(subsystem) == "tuning")
    fmt::print(stderr, "mirage: {}\n", Printable(message));
}

mirage_logit_bias ParseBias(const std::string& text) {
  mirage_logit_bias bias{};
  const size_t equals = text.find('=');
  const char* const end = text.data() + text.size();
  if (equals != std::string::npos) {
    const auto [token_end, token_error] =
        std::from_chars(text.data(), text.data() + equals, bias.token);
    const bool plus = text.compare(equals + 1, 1, "+") == 0;  // which from_chars does not take
    const auto [bias_end, bias_error] =
        std::from_chars(text.data() + equals + (plus ? 2 : 1), end, bias.bias);
    if (token_error == std::errc() && token_end == text.data() + equals &&
        bias_error == std::errc() && bias_end == end)
      return bias;
  }
  throw Failure(
      kBadInput,
      fmt::format("--logit-bias '{}': TOKEN=BIAS is expected, such as 42=-1.5 or 42=-inf", text));
}

}  // namespace

uint64_t ParseBytes(const std::string& text, const std::string& option) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  double unit = 1;
  if (error == std::errc() && rest + 1 == end) {
    switch (*rest) {
      case 'K':
      case 'k':
        unit = 1 << 10;
        break;
      case 'M':
      case 'm':
        unit = 1 << 20;
        break;
      case 'G':
      case 'g':
        unit = 1 << 30;
        break;
      default:
        unit = 0;
    }
  } else if (rest != end) {
    unit = 0;
  }
  const double bytes = number * unit;
  if (error != std::errc() || unit == 0 || !(bytes >= 1) || bytes > 0x1p62)
    throw Failure(
        kBadInput,
        fmt::format("{} '{}': a size such as 300M is expected; K, M and G are powers of 1024",
                    option, text));
  return static_cast<uint64_t>(bytes);
}

void ModelFlags::AddModel(CLI::App& command) {
  command.add_option("-m,--model", model, "Model file (.gguf)")
      ->required()
      ->check([](const std::string& path) {
        return path.empty() ? std::string("the name of a file is expected") : std::string();
      });
}

void ModelFlags::AddRunning(CLI::App& command) {
  command.add_option("-c,--context", context, "Tokens the conversation may hold; 0: chosen to fit")
      ->check(Whole<int64_t>(0));
  command.add_option("-t,--threads", threads, "Threads that compute; 0: one per core")
      ->check(Whole<int>(0));
  command.add_option("--memory", memory, "Memory limit, such as 300M");
  command.add_option("--kv-type", kv_type, "Type of cached keys and values: f16, q8_0 or q4_0");
  AddDevice(command, &device);
  command.add_option(
      "--policy", policy,
      "What gives way when memory runs out: hybrid, recompute, remap, swap, queue or "
      "static-offload");
  command.add_option("--scratch", scratch,
                     "Folder for keys and values that are swapped out; by default nothing is");
  command.add_option("--scratch-size", scratch_size, "Of the file there; by default 1G");
  command.add_option("--offload", offload,
                     "Of the weights, what --policy static-offload reads in every pass");
  tuning.clear();
  command.add_option("--tuning", tuning,
                     "A file of 'mirage tune', or none; without it the one it writes by default, "
                     "where that is there");
}

void ModelFlags::AddDevice(CLI::App& command, std::string* device) {
  command.add_option("--device", *device,
                     "Where to run: cpu, or cpu:NAME for the kernels of one instruction set");
}

int32_t ModelFlags::KvType() const {
  if (kv_type == "f16") return MIRAGE_KV_F16;
  if (kv_type == "q8_0") return MIRAGE_KV_Q8_0;
  if (kv_type == "q4_0") return MIRAGE_KV_Q4_0;
  throw Failure(kBadInput, fmt::format("--kv-type '{}': f16, q8_0 or q4_0 is expected", kv_type));
}

RuntimeHandle ModelFlags::Open() const {
  mirage_runtime_options options;
  mirage_runtime_options_init(&options, sizeof options);
  options.threads = threads;
  options.device = device.c_str();
  options.policy = policy.c_str();
  if (scratch) options.scratch_dir = scratch->c_str();
  if (scratch_size) options.scratch_bytes = ParseBytes(*scratch_size, "--scratch-size");
  if (offload) options.offload_bytes = ParseBytes(*offload, "--offload");
  if (memory) options.memory_limit = ParseBytes(*memory, "--memory");
  const std::string file = tuning.empty() ? DefaultTuningIfThere() : tuning;
  if (file.empty() || file == "none") return OpenRuntime(options);
  options.tuning = file.c_str();
  // Who names a file is told that it is for another machine. The default one may be of a home that
  // several machines share.
  options.log_level = MIRAGE_LOG_WARNING;
  if (!tuning.empty()) options.log_callback = PrintTuningWarning;
  return OpenRuntime(options);
}

ModelHandle ModelFlags::Load(mirage_runtime* runtime, int32_t sessions) const {
  ProgressBar bar("load");
  mirage_model_options options;
  mirage_model_options_init(&options, sizeof options);
  options.context = context;
  options.sessions = sessions;
  options.kv_type = KvType();
  options.adapter_bytes = lora.Bytes();
  options.progress = ReportProgress;
  options.progress_user_data = &bar;
  return OpenModel(runtime, model, options);
}

ModelHandle ModelFlags::LoadDraft(mirage_runtime* runtime, const mirage_model* target,
                                  const std::string& path) const {
  if (path.empty()) return nullptr;
  ModelFlags draft = *this;
  draft.model = path;
  draft.lora = {};
  draft.context = ModelInfo(target).context;
  return draft.Load(runtime, 1);
}

mirage_plan_options ModelFlags::PlanOptions() const {
  mirage_plan_options options;
  mirage_plan_options_init(&options, sizeof options);
  options.context = context;
  options.kv_type = KvType();
  options.adapter_bytes = lora.Bytes();
  return options;
}

void OverflowFlags::Add(CLI::App& command) {
  command.add_option("--overflow", overflow,
                     "When the context is full: error; shift drops the older half and goes on; "
                     "truncate-middle drops what a prompt has too much");
  command
      .add_option("--keep", keep,
                  "First tokens that are never dropped; without it the system message's")
      ->check(Whole<int64_t>(0));
}

mirage_session_options OverflowFlags::SessionOptions() const {
  mirage_session_options options;
  mirage_session_options_init(&options, sizeof options);
  if (overflow == "shift")
    options.overflow = MIRAGE_OVERFLOW_SHIFT;
  else if (overflow == "truncate-middle")
    options.overflow = MIRAGE_OVERFLOW_TRUNCATE_MIDDLE;
  else if (overflow != "error")
    throw Failure(
        kBadInput,
        fmt::format("--overflow '{}': error, shift or truncate-middle is expected", overflow));
  if (keep && options.overflow == MIRAGE_OVERFLOW_ERROR)
    throw Failure(kBadInput, "--keep needs --overflow shift or truncate-middle");
  Set(options.keep_tokens, keep);
  return options;
}

void SamplingFlags::Add(CLI::App& command) {
  command
      .add_option("-n,--max-tokens", max_tokens,
                  "Tokens to answer with at most; -1: until the context is full")
      ->check(Whole<int64_t>());
  command.add_option("--temp,--temperature", temperature,
                     "Temperature; 0: always the most likely token");
  command.add_option("--top-k", top_k, "Choose among the K most likely tokens; 0: off")
      ->check(Whole<int32_t>());
  command.add_option("--top-p", top_p, "Choose among the likeliest tokens that make up P; 1: off");
  command.add_option("--min-p", min_p,
                     "Leave out tokens less likely than P times the likeliest; 0: off");
  command.add_option("--typical", typical_p, "Locally typical sampling; 1: off");
  command.add_option("--repeat-penalty", repeat_penalty,
                     "Divides the logits of recent tokens; 1: off");
  command
      .add_option("--repeat-last-n", repeat_last_n, "Tokens --repeat-penalty looks back; -1: all")
      ->check(Whole<int32_t>());
  command.add_option("--presence-penalty", presence_penalty,
                     "Subtracted once from tokens in the answer");
  command.add_option("--frequency-penalty", frequency_penalty,
                     "Subtracted per occurrence in the answer");
  command.add_option("--seed", seed, "Seed of the draws; random unless given")
      ->check(Whole<uint64_t>());
  AddTexts(command, "--logit-bias", &logit_bias, "TOKEN=BIAS, added to the token's logit");
  AddReading(command);
  command
      .add_option("--draft-tokens", draft_tokens,
                  "Guess up to N tokens ahead in a step and check them: the same answer, sooner "
                  "where it repeats what was said")
      ->check(Whole<int32_t>(0));
  command.add_option("--draft-model", draft_model,
                     "A smaller model of the same vocabulary that guesses them; 8 unless "
                     "--draft-tokens says how many");
  AddSamplers(command);
  grammar.Add(command);
  command.add_option("--grammar-trigger", grammar_triggers,
                     "Any text at first: what is named above is for what follows this one; may be "
                     "given several times");
}

void SamplingFlags::AddReading(CLI::App& command) {
  AddTexts(command, "--stop", &stop, "Text that ends the answer");
  command.add_flag("--ignore-eos,!--no-ignore-eos", ignore_eos,
                   "Go on after the model's end tokens");
  command
      .add_option(
          "--logprobs", logprobs,
          "The K most likely tokens of each step: in run's JSON, else on stderr; bench shows none")
      ->check(Whole<int32_t>(0));
}

void SamplingFlags::AddPromptReport(CLI::App& command) {
  command.add_flag("--echo", echo, "The prompt's text before the answer's");
  command
      .add_option(
          "--prompt-logprobs", prompt_logprobs,
          "How likely each token of the prompt is, and the K most likely ones in its place: "
          "in the JSON, else on stderr")
      ->check(Whole<int32_t>(0));
}

// As llama.cpp spells them.
void SamplingFlags::AddSamplers(CLI::App& command) {
  command.add_option("--samplers", samplers,
                     "Stages in order, such as 'top_k;min_p;temperature'; those left out are off");
  command.add_option("--top-n-sigma,--top-nsigma", top_n_sigma,
                     "Leave out logits more than N standard deviations below the highest; 0: off");
  command.add_option("--dry-multiplier", dry_multiplier,
                     "DRY: lowers what prolongs a repetition; 0: off");
  command.add_option("--dry-base", dry_base, "DRY: growth with each repeated token");
  command
      .add_option("--dry-allowed-length", dry_allowed_length,
                  "DRY: shorter repetitions cost nothing")
      ->check(Whole<int32_t>());
  command
      .add_option("--dry-penalty-last-n", dry_penalty_last_n,
                  "DRY: tokens it looks back; 0: off, -1: all")
      ->check(Whole<int32_t>());
  AddTexts(command, "--dry-sequence-breaker", &dry_breakers,
           "DRY: text no repetition reaches over, instead of the usual ones; none: no such text");
  command.add_option("--xtc-probability", xtc_probability,
                     "XTC: how often the likeliest tokens are left out; 0: off");
  command.add_option("--xtc-threshold", xtc_threshold,
                     "XTC: the probability from which on tokens are, but for the least likely");
  command.add_option("--dynatemp-range", dynatemp_range,
                     "The temperature moves so far up and down with the entropy; 0: off");
  command.add_option("--dynatemp-exp", dynatemp_exponent, "How it moves: entropy^EXP");
  command
      .add_option("--mirostat", mirostat,
                  "Steer the surprise, in place of what leaves out tokens: 1 or 2; 0: off")
      ->check(Whole<int32_t>());
  command.add_option("--mirostat-ent", mirostat_tau, "Mirostat: the surprise aimed at, in bits");
  command.add_option("--mirostat-lr", mirostat_eta, "Mirostat: how fast");
  command.add_option("--min-tokens", min_tokens, "No end token or stop text before so many tokens")
      ->check(Whole<int64_t>(0));
  AddTexts(command, "--bad-word", &bad_words,
           "Text whose tokens, with or without a space before it, are never completed");
  command
      .add_option("--allowed-token", allowed_tokens,
                  "A token the answer may be made of, and no others; may be given several times")
      ->check(Whole<int32_t>());
}

GenerationOptions::GenerationOptions(const mirage_model* model, const SamplingFlags& flags,
                                     std::optional<Grammar> grammar, const Adapters& adapters,
                                     const mirage_model* draft)
    : grammar_(std::move(grammar)) {
  mirage_generation_options_init(&options_, sizeof options_);
  mirage_error error = MIRAGE_ERROR_INIT;
  Check(mirage_model_get_generation_options(model, &options_, &error), error, "");
  Set(options_.temperature, flags.temperature);
  Set(options_.top_k, flags.top_k);
  Set(options_.top_p, flags.top_p);
  Set(options_.min_p, flags.min_p);
  Set(options_.typical_p, flags.typical_p);
  Set(options_.repeat_penalty, flags.repeat_penalty);
  Set(options_.repeat_last_n, flags.repeat_last_n);
  Set(options_.presence_penalty, flags.presence_penalty);
  Set(options_.frequency_penalty, flags.frequency_penalty);
  Set(options_.seed, flags.seed);
  options_.has_seed = flags.seed.has_value() ? 1 : 0;
  options_.max_tokens = flags.max_tokens;
  options_.ignore_eos = flags.ignore_eos ? 1 : 0;
  options_.logprobs = flags.logprobs;
  options_.echo = flags.echo ? 1 : 0;
  options_.prompt_logprobs = flags.prompt_logprobs;
  adapters.UseIn(&options_);
  options_.draft_model = draft;
  options_.draft_tokens = flags.draft_tokens.value_or(draft != nullptr ? kDraftTokens : 0);
  for (const std::string& text : flags.stop) stop_.push_back({text.data(), text.size()});
  options_.stop_strings = stop_.data();
  options_.stop_string_count = stop_.size();
  for (const std::string& text : flags.logit_bias) bias_.push_back(ParseBias(text));
  options_.logit_bias = bias_.data();
  options_.logit_bias_count = bias_.size();
  SetSamplers(flags);
  SetLimits(model, flags);
  SetGrammar(flags);
}

void GenerationOptions::SetSamplers(const SamplingFlags& flags) {
  Set(options_.top_n_sigma, flags.top_n_sigma);
  Set(options_.dry_multiplier, flags.dry_multiplier);
  Set(options_.dry_base, flags.dry_base);
  Set(options_.dry_allowed_length, flags.dry_allowed_length);
  Set(options_.dry_penalty_last_n, flags.dry_penalty_last_n);
  Set(options_.xtc_probability, flags.xtc_probability);
  Set(options_.xtc_threshold, flags.xtc_threshold);
  Set(options_.dynatemp_range, flags.dynatemp_range);
  Set(options_.dynatemp_exponent, flags.dynatemp_exponent);
  Set(options_.mirostat, flags.mirostat);
  Set(options_.mirostat_tau, flags.mirostat_tau);
  Set(options_.mirostat_eta, flags.mirostat_eta);
  if (flags.samplers) options_.samplers = flags.samplers->c_str();
  if (flags.dry_breakers.empty()) return;
  breakers_.reserve(flags.dry_breakers.size());  // so that it is not NULL when there are none
  for (const std::string& text : flags.dry_breakers)
    if (text != "none") breakers_.push_back({text.data(), text.size()});
  options_.dry_breakers = breakers_.data();
  options_.dry_breaker_count = breakers_.size();
}

void GenerationOptions::SetLimits(const mirage_model* model, const SamplingFlags& flags) {
  options_.min_tokens = flags.min_tokens;
  for (const std::string& word : flags.bad_words) {
    if (word.empty()) throw Failure(kBadInput, "--bad-word '': a text is expected");
    banned_.push_back(Tokenize(model, word, 0));
    banned_.push_back(Tokenize(model, " " + word, 0));
  }
  for (const std::vector<int32_t>& sequence : banned_)
    banned_sequences_.push_back({sequence.data(), sequence.size()});
  options_.banned_sequences = banned_sequences_.data();
  options_.banned_sequence_count = banned_sequences_.size();
  options_.allowed_tokens = flags.allowed_tokens.data();
  options_.allowed_token_count = flags.allowed_tokens.size();
}

void GenerationOptions::SetGrammar(const SamplingFlags& flags) {
  if (!grammar_.has_value()) {
    if (!flags.grammar_triggers.empty())
      throw Failure(kBadInput, "--grammar-trigger needs one of --json-schema, --grammar, --regex");
    return;
  }
  options_.grammar_kind = grammar_->kind;
  options_.grammar = grammar_->text.data();
  options_.grammar_bytes = grammar_->text.size();
  for (const std::string& text : flags.grammar_triggers)
    triggers_.push_back({text.data(), text.size()});
  options_.grammar_lazy = triggers_.empty() ? 0 : 1;
  options_.grammar_triggers = triggers_.data();
  options_.grammar_trigger_count = triggers_.size();
}

}  // namespace mirage::cli
