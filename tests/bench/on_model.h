// SPDX-License-Identifier: Apache-2.0
#pragma once

// What programs that measure the library on a model share: an error ends them, and they are called
// as PROGRAM MODEL.gguf [ROUNDS].

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>

#include "mirage/mirage.h"

namespace mirage::bench {

inline void Check(mirage_status status, const mirage_error& error) {
  if (status != MIRAGE_OK) throw std::runtime_error(error.message);
}

// Opens the model for sessions of `context` tokens, measures, closes it.
inline void OnModel(const char* path, int64_t context, int32_t sessions,
                    const std::function<void(mirage_model*)>& measure) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_runtime* runtime = nullptr;
  mirage_model* model = nullptr;
  mirage_model_options options;
  mirage_model_options_init(&options, sizeof options);
  options.context = context;
  options.sessions = sessions;
  Check(mirage_runtime_open(nullptr, &runtime, &error), error);
  Check(mirage_model_open(runtime, path, &options, &model, &error), error);
  measure(model);
  mirage_model_close(model);
  mirage_runtime_close(runtime);
}

inline int Main(int argc, char** argv, int default_rounds,
                const std::function<void(const char* path, int rounds)>& run) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s MODEL.gguf [ROUNDS]\n", argv[0]);
    return 2;
  }
  try {
    run(argv[1], argc > 2 ? std::max(1, std::atoi(argv[2])) : default_rounds);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s: %s\n", argv[0], failure.what());
    return 1;
  }
  return 0;
}

}  // namespace mirage::bench
