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
#include "tools/api.h"

namespace mirage::cli {

// "300M": K, M and G are powers of 1024. kBadInput naming `option`.
[[nodiscard]] uint64_t ParseBytes(const std::string& text, const std::string& option);

// Which model, and how it runs.
struct ModelFlags {
  std::string model;
  int64_t context = 0;
  int threads = 0;
  std::string memory;
  std::string kv_type = "f16";
  std::string device = "cpu";

  void AddModel(CLI::App& command);
  void AddRunning(CLI::App& command);  // all but the model

  [[nodiscard]] RuntimeHandle Open() const;
  // With a progress bar, and cancelled by Ctrl-C.
  [[nodiscard]] ModelHandle Load(mirage_runtime* runtime, int32_t sessions) const;
  [[nodiscard]] mirage_plan_options PlanOptions() const;
};

// How an answer's tokens are chosen; what is not given stays the model's own choice.
struct SamplingFlags {
  int64_t max_tokens = -1;
  std::optional<float> temperature, top_p, min_p, typical_p;
  std::optional<float> repeat_penalty, presence_penalty, frequency_penalty;
  std::optional<int32_t> top_k, repeat_last_n;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  std::vector<std::string> logit_bias;  // "TOKEN=BIAS"
  bool ignore_eos = false;
  int32_t logprobs = 0;
  int32_t draft_tokens = 0;

  void Add(CLI::App& command);
};

// The library's options for these flags; owns what the struct points to.
class GenerationOptions {
 public:
  GenerationOptions(const mirage_model* model, const SamplingFlags& flags);
  GenerationOptions(const GenerationOptions&) = delete;
  GenerationOptions& operator=(const GenerationOptions&) = delete;

  [[nodiscard]] const mirage_generation_options& get() const { return options_; }

 private:
  std::vector<mirage_string> stop_;
  std::vector<mirage_logit_bias> bias_;
  mirage_generation_options options_;
};

}  // namespace mirage::cli
