// SPDX-License-Identifier: Apache-2.0

// What it saves that another session asked with the same beginning: the time to the first token of
// a prompt that nobody asked before, and of one whose first part somebody did.
//
//   prefix_bench MODEL.gguf [ROUNDS]
//
// Alternates the two, with new random tokens in every round; medians.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "tests/bench/on_model.h"

namespace mirage::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Tokens = std::vector<int32_t>;

constexpr int64_t kOwnTokens = 32;  // after what is shared

void Append(Tokens* tokens, int64_t count, std::mt19937* random) {
  for (int64_t i = 0; i < count; ++i)
    tokens->push_back(static_cast<int32_t>(1000 + (*random)() % 20000));
}

struct Asked {
  double first_token_ms;
  uint64_t cached_tokens;
};

Asked Ask(mirage_model* model, const Tokens& prompt) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_session* session = nullptr;
  mirage_generation* generation = nullptr;
  Check(mirage_session_open(model, nullptr, &session, &error), error);
  Check(mirage_session_append_tokens(session, prompt.data(), prompt.size(), &error), error);
  mirage_generation_options options;
  mirage_generation_options_init(&options, sizeof options);
  options.max_tokens = 1;
  options.ignore_eos = 1;
  const Clock::time_point begin = Clock::now();
  Check(mirage_generation_start(session, &options, &generation, &error), error);
  mirage_event event{};
  event.struct_size = sizeof event;
  do Check(mirage_generation_next(generation, -1, &event, &error), error);
  while (event.kind != MIRAGE_EVENT_TOKENS);
  const double ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  mirage_generation_stats stats{};
  stats.struct_size = sizeof stats;
  Check(mirage_generation_get_stats(generation, &stats, &error), error);
  mirage_generation_close(generation);
  mirage_session_close(session);
  return {ms, stats.cached_tokens};
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

void Measure(mirage_model* model, int64_t shared, int rounds, std::mt19937* random) {
  std::vector<double> anew, again;
  uint64_t found = 0;
  for (int round = 0; round < rounds; ++round) {
    Tokens beginning;
    Append(&beginning, shared, random);
    Tokens first = beginning, second = beginning;
    Append(&first, kOwnTokens, random);
    Append(&second, kOwnTokens, random);
    anew.push_back(Ask(model, first).first_token_ms);
    const Asked asked = Ask(model, second);
    again.push_back(asked.first_token_ms);
    found = asked.cached_tokens;
  }
  std::printf("%5lld + %lld tokens: anew %7.1f ms, again %6.1f ms (%llu found), ratio %.1f\n",
              static_cast<long long>(shared), static_cast<long long>(kOwnTokens), Median(anew),
              Median(again), static_cast<unsigned long long>(found), Median(anew) / Median(again));
}

void Run(const char* path, int rounds) {
  OnModel(path, 4096 + kOwnTokens + 32, 1, [&](mirage_model* model) {
    std::mt19937 random(11);
    for (const int64_t shared : {256, 1024, 4096}) Measure(model, shared, rounds, &random);
  });
}

}  // namespace
}  // namespace mirage::bench

int main(int argc, char** argv) { return mirage::bench::Main(argc, argv, 5, mirage::bench::Run); }
