// SPDX-License-Identifier: Apache-2.0

// mirage perplexity: how surprised a model is by a text, measured as llama-perplexity does.
//
// The text is tokenized once and cut into windows of the context's length; the rest is dropped. Of
// each window the second half is scored, so that every scored token has at least half a context
// before it.

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "tools/command.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/json.h"
#include "tools/number.h"
#include "tools/progress.h"

namespace mirage::cli {
namespace {

constexpr int64_t kLeastWindow = 4;

struct PerplexityFlags {
  ModelFlags model;
  std::string file;
  int64_t window = 512;
  bool json = false;
};

struct Score {
  double sum = 0;  // of the negative log probabilities
  uint64_t tokens = 0;
  [[nodiscard]] double perplexity() const { return std::exp(sum / static_cast<double>(tokens)); }
};

void ScoreWindow(mirage_model* model, const std::vector<int32_t>& window, Score& score) {
  mirage_error error = MIRAGE_ERROR_INIT;
  const size_t first = window.size() / 2 + 1;
  std::vector<float> logprobs(window.size() - first);
  Check(mirage_score(model, window.data(), window.size(), first, logprobs.data(), &error), error,
        "");
  for (const float logprob : logprobs) score.sum -= static_cast<double>(logprob);
  score.tokens += logprobs.size();
}

int Perplexity(const PerplexityFlags& flags) {
  if (flags.window < kLeastWindow)
    throw Failure(kBadInput, fmt::format("--ctx {}: at least {} tokens are needed", flags.window,
                                         kLeastWindow));
  CatchInterrupts();
  const std::string text = ReadFile(flags.file);
  ModelFlags loading = flags.model;
  loading.context = flags.window;
  const RuntimeHandle runtime = loading.Open();
  const ModelHandle model = loading.Load(runtime.get(), 1);
  const mirage_model_info info = ModelInfo(model.get());
  const std::vector<int32_t> tokens = Tokenize(model.get(), text, MIRAGE_TOKENIZE_ADD_SPECIAL);
  const auto length = static_cast<size_t>(flags.window);
  const size_t windows = tokens.size() / length;
  if (windows == 0)
    throw Failure(kBadInput, fmt::format("{}: {} tokens are less than one window of {}", flags.file,
                                         tokens.size(), flags.window));
  Score score;
  {
    ProgressBar bar("score");
    for (size_t i = 0; i < windows; ++i) {
      if (Interrupted()) throw Failure(kInterrupted, "interrupted");
      std::vector<int32_t> window(tokens.begin() + static_cast<int64_t>(i * length),
                                  tokens.begin() + static_cast<int64_t>((i + 1) * length));
      if (info.adds_bos == 1) window.front() = info.bos_token;
      ScoreWindow(model.get(), window, score);
      bar.Update(i + 1, windows);
    }
  }
  if (flags.json)
    WriteStandardOutput(Dump({{"perplexity", score.perplexity()}, {"tokens", score.tokens}}));
  else
    WriteStandardOutput(
        fmt::format("perplexity {:.4f} over {} tokens\n", score.perplexity(), score.tokens));
  return kDone;
}

}  // namespace

void AddPerplexity(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<PerplexityFlags>();
  CLI::App* command = AddCommand(app, chosen, "perplexity", "How surprised a model is by a text",
                                 flags, Perplexity);
  flags->model.AddModel(*command);
  command->add_option("-f,--file", flags->file, "Text file")->required();
  command->add_option("--ctx", flags->window, "Tokens of a window")->check(Whole<int32_t>(1));
  command->add_option("-t,--threads", flags->model.threads, "Threads that compute; 0: one per core")
      ->check(Whole<int>(0));
  command->add_option("--memory", flags->model.memory, "Memory limit, such as 300M");
  command->add_option("--kv-type", flags->model.kv_type,
                      "Type of keys and values: f16, q8_0 or q4_0");
  command->add_flag("--json", flags->json, "One JSON value instead of text");
}

}  // namespace mirage::cli
