// SPDX-License-Identifier: Apache-2.0

// What holding answers to a grammar costs: the same model answers freely and held to a JSON schema,
// in turn, and the time per pass is compared.
//
//   grammar_bench MODEL [ROUNDS [TOKENS]]
//
// Time per pass: what forced text saves by being guessed is not in it.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "mirage/mirage.h"

namespace {

const char kPrompt[] = "A list of people, as JSON:\n";
const char kSchema[] = R"({"type":"array","minItems":99,"items":{"type":"object","properties":{
  "name":{"type":"string"},"age":{"type":"integer","minimum":0,"maximum":150},
  "email":{"type":"string","format":"email"},
  "address":{"type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"},
    "zip":{"type":"string","pattern":"^[0-9]{5}$"}},"required":["street","city"]},
  "tags":{"type":"array","items":{"type":"string"},"maxItems":5},
  "status":{"enum":["active","inactive","pending"]},"bio":{"type":"string","maxLength":200}},
  "required":["name","age","email"]}})";

mirage_error error = MIRAGE_ERROR_INIT;

void Must(mirage_status status) {
  if (status == MIRAGE_OK) return;
  std::fprintf(stderr, "grammar_bench: %s\n", error.message);
  std::exit(2);
}

// Milliseconds per pass that decodes.
double Answer(mirage_session* session, bool held, uint64_t seed, int64_t tokens) {
  Must(mirage_session_clear(session, &error));
  Must(mirage_session_append_text(session, kPrompt, sizeof kPrompt - 1, MIRAGE_TOKENIZE_ADD_SPECIAL,
                                  &error));
  mirage_generation_options options;
  mirage_generation_options_init(&options, sizeof options);
  options.max_tokens = tokens;
  options.ignore_eos = 1;
  options.has_seed = 1;
  options.seed = seed;
  if (held) {
    options.grammar_kind = MIRAGE_GRAMMAR_JSON_SCHEMA;
    options.grammar = kSchema;
    options.grammar_bytes = std::strlen(kSchema);
  }
  mirage_generation* generation = nullptr;
  Must(mirage_generation_start(session, &options, &generation, &error));
  mirage_event event{};
  event.struct_size = sizeof event;
  while (event.kind != MIRAGE_EVENT_DONE)
    Must(mirage_generation_next(generation, -1, &event, &error));
  mirage_generation_stats stats{};
  stats.struct_size = sizeof stats;
  Must(mirage_generation_get_stats(generation, &stats, &error));
  mirage_generation_close(generation);
  // A token that came true as a guess took no pass.
  const uint64_t passes = stats.output_tokens - stats.accepted_tokens - 1;
  return stats.output_s * 1000 / static_cast<double>(passes);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: grammar_bench MODEL [ROUNDS [TOKENS]]\n");
    return 2;
  }
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 9;
  const int64_t tokens = argc > 3 ? std::atoi(argv[3]) : 64;
  mirage_runtime_options runtime_options;
  mirage_runtime_options_init(&runtime_options, sizeof runtime_options);
  mirage_runtime* runtime = nullptr;
  Must(mirage_runtime_open(&runtime_options, &runtime, &error));
  mirage_model_options model_options;
  mirage_model_options_init(&model_options, sizeof model_options);
  model_options.context = 512;
  mirage_model* model = nullptr;
  Must(mirage_model_open(runtime, argv[1], &model_options, &model, &error));
  mirage_session* session = nullptr;
  Must(mirage_session_open(model, nullptr, &session, &error));

  std::vector<double> frees, helds, ratios;
  for (int round = 0; round < rounds; ++round) {
    frees.push_back(Answer(session, false, static_cast<uint64_t>(round), tokens));
    helds.push_back(Answer(session, true, static_cast<uint64_t>(round), tokens));
    ratios.push_back(helds.back() / frees.back());
    std::printf("free %.2f ms, held %.2f ms, ratio %.3f\n", frees.back(), helds.back(),
                ratios.back());
  }
  std::printf("median of %d: free %.2f ms, held %.2f ms, ratio %.3f\n", rounds, Median(frees),
              Median(helds), Median(ratios));
  mirage_session_close(session);
  mirage_model_close(model);
  mirage_runtime_close(runtime);
  return 0;
}
