// SPDX-License-Identifier: Apache-2.0

// What choosing one token costs on a vocabulary of 262144, as Gemma's, after 4096 tokens of text.

#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <stdexcept>
#include <vector>

#include "sample/sampler.h"

namespace mirage::sample {
namespace {

constexpr int32_t kVocabulary = 262144;

std::vector<float> Row() {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(-2, 3);
  std::vector<float> logits(kVocabulary);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

std::vector<int32_t> History() {
  std::mt19937 random(6);
  std::vector<int32_t> history(4096);
  for (int32_t& token : history) token = static_cast<int32_t>(random() % 1000);
  return history;
}

// Includes a copy of the row, which the sampler may overwrite; BM_Copy is that alone.
void Run(benchmark::State& state, const Params& params, int logprobs = 0) {
  auto sampler = Sampler::Create(params, kVocabulary);
  if (!sampler) throw std::runtime_error(sampler.error().message);
  const std::vector<float> row = Row();
  const std::vector<int32_t> history = History();
  std::vector<float> logits(row.size());
  Workspace workspace;
  int64_t position = 4096;
  for (auto _ : state) {
    logits = row;
    DrawContext context;
    context.history = history;
    context.output_begin = 2048;
    context.position = position++;
    context.logprobs = logprobs;
    benchmark::DoNotOptimize(sampler->Sample(logits, context, workspace));
  }
}

Params Common() {
  Params params;
  params.repeat_penalty = 1.1f;
  params.frequency_penalty = 0.1f;
  params.presence_penalty = 0.1f;
  return params;
}

void BM_Copy(benchmark::State& state) {
  const std::vector<float> row = Row();
  std::vector<float> logits(row.size());
  for (auto _ : state) {
    logits = row;
    benchmark::DoNotOptimize(logits.data());
  }
}
BENCHMARK(BM_Copy)->Unit(benchmark::kMicrosecond);

void BM_Common(benchmark::State& state) { Run(state, Common()); }
BENCHMARK(BM_Common)->Unit(benchmark::kMicrosecond);

void BM_CommonWithLogprobs(benchmark::State& state) { Run(state, Common(), 5); }
BENCHMARK(BM_CommonWithLogprobs)->Unit(benchmark::kMicrosecond);

void BM_Greedy(benchmark::State& state) {
  Params params;
  params.temperature = 0;
  Run(state, params);
}
BENCHMARK(BM_Greedy)->Unit(benchmark::kMicrosecond);

void BM_MinPAlone(benchmark::State& state) {
  Params params;
  params.top_k = 0;
  params.top_p = 1;
  Run(state, params);
}
BENCHMARK(BM_MinPAlone)->Unit(benchmark::kMicrosecond);

void BM_TopPWithoutTopK(benchmark::State& state) {
  Params params;
  params.top_k = 0;
  Run(state, params);
}
BENCHMARK(BM_TopPWithoutTopK)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace mirage::sample

BENCHMARK_MAIN();
