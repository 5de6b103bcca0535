// SPDX-License-Identifier: Apache-2.0

// How long a cancelled generation takes to end, from the call to its DONE event:
//
//   cancel_bench MODEL.gguf [ROUNDS]
//
// While a prompt of 4096 tokens is computed alone, while an answer is decoded alone, and while such
// a prompt is computed beside three answers.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/on_model.h"

namespace mirage::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kPromptTokens = 4096;
constexpr int64_t kContext = kPromptTokens + 2048;
constexpr int kCompany = 3;

class Answer {
 public:
  Answer(mirage_model* model, int64_t prompt_tokens, uint32_t seed) {
    mirage_session_options options;
    mirage_session_options_init(&options, sizeof options);
    options.private_cache = 1;
    Check(mirage_session_open(model, &options, &session_, &error_), error_);
    std::mt19937 random(seed);
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < prompt_tokens; ++i)
      tokens.push_back(static_cast<int32_t>(1000 + random() % 20000));
    Check(mirage_session_append_tokens(session_, tokens.data(), tokens.size(), &error_), error_);
    mirage_generation_options generation;
    mirage_generation_options_init(&generation, sizeof generation);
    generation.ignore_eos = 1;
    generation.temperature = 0;
    Check(mirage_generation_start(session_, &generation, &generation_, &error_), error_);
  }
  ~Answer() {
    mirage_generation_close(generation_);
    mirage_session_close(session_);
  }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  // Reads until an event of `kind`.
  void ReadTo(int32_t kind) {
    mirage_event event{};
    event.struct_size = sizeof event;
    do Check(mirage_generation_next(generation_, -1, &event, &error_), error_);
    while (event.kind != kind);
  }

  // Milliseconds from the call to DONE.
  double Cancel() {
    const Clock::time_point begin = Clock::now();
    Check(mirage_generation_cancel(generation_, MIRAGE_CANCEL_STOP, &error_), error_);
    ReadTo(MIRAGE_EVENT_DONE);
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  }

 private:
  mirage_error error_ = MIRAGE_ERROR_INIT;
  mirage_session* session_ = nullptr;
  mirage_generation* generation_ = nullptr;
};

struct Case {
  const char* name;
  int64_t prompt_tokens;
  int company;
};

void Measure(mirage_model* model, const Case& c, int rounds) {
  std::mt19937 random(7);
  std::vector<double> times;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::unique_ptr<Answer>> company;
    for (int i = 0; i < c.company; ++i) {
      company.push_back(std::make_unique<Answer>(model, 16, random()));
      company.back()->ReadTo(MIRAGE_EVENT_TOKENS);
    }
    Answer answer(model, c.prompt_tokens, random());
    std::this_thread::sleep_for(std::chrono::milliseconds(100 + random() % 400));
    times.push_back(answer.Cancel());
  }
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) {
    return times[static_cast<size_t>(share * static_cast<double>(times.size() - 1))];
  };
  std::printf("%-28s p50 %6.1f ms  p99 %6.1f ms  most %6.1f ms  of %d\n", c.name, at(0.5), at(0.99),
              times.back(), rounds);
}

void Run(const char* path, int rounds) {
  OnModel(path, kContext, 1 + kCompany, [&](mirage_model* model) {
    for (const Case& c : {Case{"prompt alone", kPromptTokens, 0}, Case{"answer alone", 16, 0},
                          Case{"prompt beside 3 answers", kPromptTokens, kCompany}})
      Measure(model, c, rounds);
  });
}

}  // namespace
}  // namespace mirage::bench

int main(int argc, char** argv) { return mirage::bench::Main(argc, argv, 100, mirage::bench::Run); }
