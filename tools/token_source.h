// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tools/api.h"

namespace mirage::cli {

// Ordinary tokens of the vocabulary, spread over it, the same in every run.
class TokenSource {
 public:
  explicit TokenSource(const mirage_model* model) {
    constexpr int64_t kWanted = 1024;
    mirage_error error = MIRAGE_ERROR_INIT;
    const int32_t vocabulary = ModelInfo(model).vocabulary;
    const int64_t step = std::max<int64_t>(1, vocabulary / kWanted);
    for (int64_t token = 0; token < vocabulary; token += step) {
      mirage_token info{};
      info.struct_size = sizeof info;
      Check(mirage_model_get_token(model, static_cast<int32_t>(token), &info, &error), error, "");
      if (info.type == MIRAGE_TOKEN_NORMAL) ordinary_.push_back(static_cast<int32_t>(token));
    }
    if (ordinary_.empty()) ordinary_.push_back(0);
  }

  [[nodiscard]] std::vector<int32_t> Take(int64_t count) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < count; ++i) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX generator
      tokens.push_back(ordinary_[(state_ >> 33) % ordinary_.size()]);
    }
    return tokens;
  }

 private:
  std::vector<int32_t> ordinary_;
  uint64_t state_ = 1;
};

}  // namespace mirage::cli
