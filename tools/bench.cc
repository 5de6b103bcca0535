// SPDX-License-Identifier: Apache-2.0

// mirage bench: prompts per second, tokens per second alone and in batches, and what the memory
// could give.
//
// Prompts are computed once untimed and then several times; the mean is reported. Decoding starts
// after a prompt of 16 tokens per sequence (--depth) and one untimed pass; the rate of a batch is
// that of all its sequences together. Tokens that would end an answer do not, unless
// --no-ignore-eos is given. The memory's bandwidth is null where too little is left to measure it.

#define FMT_HEADER_ONLY
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#define MIRAGE_TOOLS_UNSTABLE
#include "mirage/tools.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/json.h"
#include "tools/number.h"
#include "tools/progress.h"
#include "tools/token_source.h"

namespace mirage::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kUntimedTokens = 2;  // one with the prompt, one in a pass of its own
constexpr int kWaitMs = 200;

struct BenchFlags {
  ModelFlags model;
  OverflowFlags overflow;
  SamplingFlags sampling;  // what a measurement does not set itself
  std::string system;
  int64_t prompt_tokens = 512;
  int64_t decode_tokens = 128;
  int64_t depth = 16;  // tokens before those
  std::vector<int32_t> batches = {1, 8, 16};
  int repeats = 3;
  bool json = false;
};

// Reads generations to their ends as their events come, so that no queue fills up and pauses its
// sequence.
void ReadToEnd(const std::vector<GenerationHandle>& generations) {
  mirage_error error = MIRAGE_ERROR_INIT;
  std::vector<pollfd> waiting;
  std::vector<mirage_generation*> running;
  for (const GenerationHandle& generation : generations) {
    pollfd entry{};
    entry.events = POLLIN;
    Check(mirage_generation_get_fd(generation.get(), &entry.fd, &error), error, "");
    waiting.push_back(entry);
    running.push_back(generation.get());
  }
  mirage_event event{};
  event.struct_size = sizeof event;
  while (!running.empty()) {
    if (Interrupted()) throw Failure(kInterrupted, "interrupted");
    poll(waiting.data(), waiting.size(), kWaitMs);
    for (size_t i = running.size(); i-- > 0;) {
      if ((waiting[i].revents & POLLIN) == 0) continue;
      mirage_status status = MIRAGE_OK;
      while ((status = mirage_generation_next(running[i], 0, &event, &error)) == MIRAGE_OK &&
             event.kind != MIRAGE_EVENT_DONE) {
      }
      if (status == MIRAGE_TIMEOUT) continue;
      Check(status, error, "");
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

void Append(mirage_session* session, const std::vector<int32_t>& tokens) {
  mirage_error error = MIRAGE_ERROR_INIT;
  Check(mirage_session_append_tokens(session, tokens.data(), tokens.size(), &error), error, "");
}

class Bencher {
 public:
  Bencher(mirage_model* model, const BenchFlags& flags, std::vector<int32_t> system)
      : model_(model),
        flags_(flags),
        adapters_(model, flags.model.lora),
        system_(std::move(system)),
        tokens_(model) {}

  // Tokens per second of the prompt.
  double MeasurePrompt(ProgressBar& bar) {
    double seconds = 0;
    for (int repeat = 0; repeat <= flags_.repeats; ++repeat) {
      std::vector<SessionHandle> sessions = Prompted(1, flags_.prompt_tokens);
      const Run run = Generate(sessions, 1);
      if (repeat > 0) seconds += run.seconds;
      bar.Update(static_cast<uint64_t>(repeat), static_cast<uint64_t>(flags_.repeats));
    }
    const auto tokens =
        static_cast<double>(flags_.prompt_tokens) + static_cast<double>(system_.size());
    return tokens * flags_.repeats / seconds;
  }

  struct Run {
    double seconds = 0;
    uint64_t tokens = 0;  // of all sequences; fewer than asked for when a stop text came
  };
  Run MeasureDecode(int32_t batch) {
    const std::vector<SessionHandle> sessions = Prompted(batch, flags_.depth);
    Generate(sessions, kUntimedTokens);
    return Generate(sessions, flags_.decode_tokens);
  }

 private:
  // Sessions that find nothing computed before.
  std::vector<SessionHandle> Prompted(int32_t count, int64_t tokens) {
    mirage_session_options options = flags_.overflow.SessionOptions();
    options.private_cache = 1;
    std::vector<SessionHandle> sessions;
    for (int32_t i = 0; i < count; ++i) {
      sessions.push_back(OpenSession(model_, &options));
      std::vector<int32_t> prompt = system_;
      const std::vector<int32_t> rest = tokens_.Take(tokens);
      prompt.insert(prompt.end(), rest.begin(), rest.end());
      Append(sessions.back().get(), prompt);
    }
    return sessions;
  }

  // Generates on all sessions at once.
  Run Generate(const std::vector<SessionHandle>& sessions, int64_t max_tokens) {
    SamplingFlags sampling = flags_.sampling;
    sampling.temperature = 0.0F;
    sampling.max_tokens = max_tokens;
    const GenerationOptions options(model_, sampling, std::nullopt, adapters_);
    std::vector<GenerationHandle> generations;
    const Clock::time_point begin = Clock::now();
    for (const SessionHandle& session : sessions)
      generations.push_back(StartGeneration(session.get(), options.get()));
    ReadToEnd(generations);
    Run run;
    run.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    for (const GenerationHandle& generation : generations)
      run.tokens += GenerationStats(generation.get()).output_tokens;
    return run;
  }

  mirage_model* model_;
  const BenchFlags& flags_;
  const Adapters adapters_;
  std::vector<int32_t> system_;
  TokenSource tokens_;
};

Json MachineJson() {
  const auto text = ReadBuffer<std::string>("", mirage_tools_machine);
  return Json::parse(text, nullptr, false);
}

std::string Text(const Json& result) {
  std::string text;
  if (result.contains("pp"))
    text += fmt::format("prompt     {:10.1f} tok/s\n", result["pp"]["tok_s"].get<double>());
  for (const Json& row : result.value("tg", Json::array()))
    text += fmt::format("batch {:4} {:10.1f} tok/s\n", row["batch"].get<int32_t>(),
                        row["tok_s"].get<double>());
  if (const Json& gb_s = result["bandwidth_gb_s"]; !gb_s.is_null())
    text += fmt::format("memory     {:10.1f} GB/s\n", gb_s.get<double>());
  return text;
}

// The context that the measurements need. One that shifts need not hold what is decoded, but a
// quarter of it must be free after the prompt.
int64_t ContextFor(const BenchFlags& flags, size_t system_tokens) {
  const auto system = static_cast<int64_t>(system_tokens);
  const int64_t prompt = system + flags.prompt_tokens + 2;
  if (flags.decode_tokens == 0) return prompt;
  const int64_t begin = system + flags.depth + kUntimedTokens + 1;
  const bool shifts =
      flags.overflow.SessionOptions().overflow == MIRAGE_OVERFLOW_SHIFT && flags.model.context != 0;
  return std::max(prompt, shifts ? begin + begin / 3 + 1 : begin + flags.decode_tokens);
}

// In place of the model; nothing where there is too little memory to tell it from the caches.
Json Bandwidth(ModelHandle model, int32_t threads) {
  model.reset();
  mirage_error error = MIRAGE_ERROR_INIT;
  double gb_s = 0;
  const mirage_status status = mirage_tools_bandwidth(threads, &gb_s, &error);
  if (status == MIRAGE_OUT_OF_MEMORY) return nullptr;
  Check(status, error, "");
  return gb_s;
}

int Bench(const BenchFlags& flags) {
  CatchInterrupts();
  static_cast<void>(flags.overflow.SessionOptions());  // complains before the model is loaded
  ModelFlags loading = flags.model;
  const RuntimeHandle runtime = loading.Open();
  std::vector<int32_t> system;
  if (!flags.system.empty())
    system = Tokenize(OpenVocabulary(runtime.get(), loading.model).get(), flags.system,
                      MIRAGE_TOKENIZE_ADD_SPECIAL);
  const int64_t needed = ContextFor(flags, system.size());
  if (loading.context == 0) loading.context = needed;
  if (loading.context < needed)
    throw Failure(kBadInput,
                  fmt::format("--context {}: --pp {} and --tg {} after --depth {} need {} tokens",
                              loading.context, flags.prompt_tokens, flags.decode_tokens,
                              flags.depth, needed));
  const int32_t largest = *std::max_element(flags.batches.begin(), flags.batches.end());
  ModelHandle model = loading.Load(runtime.get(), flags.decode_tokens > 0 ? largest : 1);
  const int64_t trained = ModelInfo(model.get()).trained_context;
  if (trained > 0 && needed > trained)
    fmt::print(stderr, "mirage: {} tokens are measured on a model made for {}\n", needed, trained);

  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_runtime_stats stats{};
  stats.struct_size = sizeof stats;
  Check(mirage_runtime_get_stats(runtime.get(), &stats, &error), error, "");
  Json result = {{"machine", MachineJson()}};
  result["machine"]["threads"] = stats.threads;
  {
    Bencher bencher(model.get(), flags, std::move(system));
    ProgressBar bar("bench");
    if (flags.prompt_tokens > 0) result["pp"] = {{"tok_s", bencher.MeasurePrompt(bar)}};
    if (flags.decode_tokens > 0) result["tg"] = Json::array();
    for (size_t i = 0; flags.decode_tokens > 0 && i < flags.batches.size(); ++i) {
      bar.Update(i, flags.batches.size());
      const Bencher::Run run = bencher.MeasureDecode(flags.batches[i]);
      result["tg"].push_back({{"batch", flags.batches[i]},
                              {"depth", flags.depth},
                              {"tokens", run.tokens},
                              {"tok_s", static_cast<double>(run.tokens) / run.seconds}});
    }
  }
  result["bandwidth_gb_s"] = Bandwidth(std::move(model), stats.threads);
  WriteStandardOutput(flags.json ? Dump(result) : Text(result));
  return kDone;
}

}  // namespace

void AddBench(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<BenchFlags>();
  CLI::App* command =
      AddCommand(app, chosen, "bench", "Measures prompts, decoding and memory", flags, Bench);
  flags->model.AddModel(*command);
  flags->model.AddRunning(*command);
  flags->model.lora.Add(*command);
  flags->overflow.Add(*command);
  flags->sampling.ignore_eos = true;
  flags->sampling.AddReading(*command);
  command->add_option("--system", flags->system, "A text before every prompt, counted with it");
  command->add_option("--pp", flags->prompt_tokens, "Tokens of the prompt; 0 leaves this part out")
      ->check(Whole<int32_t>(0));
  command
      ->add_option("--tg", flags->decode_tokens,
                   "Tokens decoded per sequence; 0 leaves this part out")
      ->check(Whole<int32_t>(0));
  command->add_option("--depth", flags->depth, "Tokens of each sequence before it decodes")
      ->check(Whole<int32_t>(1));
  command->add_option("--batch", flags->batches, "Sequences decoded together, such as 1,8,16")
      ->delimiter(',')
      ->check(Whole<int32_t>(1));
  command->add_option("--repeats", flags->repeats, "Timed passes over the prompt")
      ->check(Whole<int32_t>(1));
  command->add_flag("--json", flags->json, "One JSON value instead of text");
}

}  // namespace mirage::cli
