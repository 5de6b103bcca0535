// SPDX-License-Identifier: Apache-2.0
#pragma once

// Options that several commands share, and how they become the library's.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mirage/mirage.h"
#include "tools/adapters.h"
#include "tools/api.h"
#include "tools/grammar_flags.h"

namespace mirage::cli {

// "300M": K, M and G are powers of 1024. kBadInput naming `option`.
[[nodiscard]] uint64_t ParseBytes(const std::string& text, const std::string& option);

// Which model, and how it runs.
struct ModelFlags {
  std::string model;
  int64_t context = 0;
  int threads = 0;
  std::optional<std::string> memory;
  std::string kv_type = "f16";
  std::string device = "cpu";
  std::string policy = "hybrid";
  std::optional<std::string> scratch;       // a folder
  std::optional<std::string> scratch_size;  // as --memory, as the next
  std::optional<std::string> offload;
  std::string tuning = "none";  // "": the default file, where it is there
  LoraFlags lora;

  void AddModel(CLI::App& command);
  void AddRunning(CLI::App& command);  // all but the model

  static void AddDevice(CLI::App& command, std::string* device);

  [[nodiscard]] int32_t KvType() const;
  [[nodiscard]] RuntimeHandle Open() const;
  // With a progress bar, and cancelled by Ctrl-C.
  [[nodiscard]] ModelHandle Load(mirage_runtime* runtime, int32_t sessions) const;
  // The model of `path`, run like this one and with its context, to guess for it; null for no path.
  [[nodiscard]] ModelHandle LoadDraft(mirage_runtime* runtime, const mirage_model* model,
                                      const std::string& path) const;
  [[nodiscard]] mirage_plan_options PlanOptions() const;
};

// What becomes of what the context has no room for.
struct OverflowFlags {
  std::string overflow = "error";
  std::optional<int64_t> keep;

  void Add(CLI::App& command);
  // Defaults but for these.
  [[nodiscard]] mirage_session_options SessionOptions() const;
};

// How an answer's tokens are chosen; what is not given stays the model's own choice.
struct SamplingFlags {
  int64_t max_tokens = -1;
  std::optional<float> temperature, top_p, min_p, typical_p;
  std::optional<float> repeat_penalty, presence_penalty, frequency_penalty;
  std::optional<float> top_n_sigma, dry_multiplier, dry_base, xtc_probability, xtc_threshold;
  std::optional<float> dynatemp_range, dynatemp_exponent, mirostat_tau, mirostat_eta;
  std::optional<int32_t> top_k, repeat_last_n, dry_allowed_length, dry_penalty_last_n, mirostat;
  std::optional<std::string> samplers;
  std::vector<std::string> dry_breakers;  // "none": no others, and not the usual ones
  int64_t min_tokens = 0;
  std::vector<std::string> bad_words;
  std::vector<int32_t> allowed_tokens;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  std::vector<std::string> logit_bias;  // "TOKEN=BIAS"
  bool ignore_eos = false;
  int32_t logprobs = 0;
  bool echo = false;
  int32_t prompt_logprobs = 0;
  std::optional<int32_t> draft_tokens;
  std::string draft_model;  // a file; "": none
  GrammarFlags grammar;
  std::vector<std::string> grammar_triggers;

  void Add(CLI::App& command);
  void AddReading(CLI::App& command);  // of these, what ends an answer and what is told about it
  void AddPromptReport(CLI::App& command);  // what is told of the prompt

 private:
  void AddSamplers(CLI::App& command);
};

// The library's options for these flags and the grammar that they name; with the flags and the
// model, owns what the struct points to.
class GenerationOptions {
 public:
  // `draft`: what flags.draft_model names, if anything. `adapters`: they outlive this.
  GenerationOptions(const mirage_model* model, const SamplingFlags& flags,
                    std::optional<Grammar> grammar, const Adapters& adapters,
                    const mirage_model* draft = nullptr);
  GenerationOptions(const GenerationOptions&) = delete;
  GenerationOptions& operator=(const GenerationOptions&) = delete;

  [[nodiscard]] const mirage_generation_options& get() const { return options_; }

 private:
  void SetSamplers(const SamplingFlags& flags);
  void SetGrammar(const SamplingFlags& flags);
  void SetLimits(const mirage_model* model, const SamplingFlags& flags);

  std::vector<mirage_string> stop_;
  std::vector<mirage_logit_bias> bias_;
  std::vector<mirage_string> breakers_;
  std::vector<std::vector<int32_t>> banned_;
  std::vector<mirage_token_sequence> banned_sequences_;
  std::optional<Grammar> grammar_;
  std::vector<mirage_string> triggers_;
  mirage_generation_options options_;
};

}  // namespace mirage::cli
