// SPDX-License-Identifier: Apache-2.0
#include "model/arch/gemma.h"

#include <cmath>

namespace mirage::model {

Status ReadGemmaScales(Config& config, size_t layers_of_27b) {
  config.activation = kernels::Activation::kGeluTanh;
  config.embedding_scale = std::sqrt(static_cast<float>(config.embedding));
  if (config.layers.size() == layers_of_27b)
    config.attention_scale = 1.0f / std::sqrt(static_cast<float>(config.embedding) /
                                              static_cast<float>(config.layers[0].heads));
  return {};
}

Status ReadGemmaWindows(Reader& reader, Config& config, uint32_t default_period) {
  MIRAGE_TRY_ASSIGN(const int64_t window, reader.Key<int64_t>("attention.sliding_window"));
  if (window < 1)
    return reader.AboutKey(Code::kCorrupt, "attention.sliding_window",
                           "is " + std::to_string(window) + ", below 1");
  MIRAGE_TRY_ASSIGN(const uint32_t period,
                    reader.KeyOr<uint32_t>("attention.sliding_window_pattern", default_period));
  for (size_t layer = 0; layer < config.layers.size(); ++layer)
    if (period == 0 || layer % period != period - 1) config.layers[layer].window = window;
  return {};
}

}  // namespace mirage::model
