// SPDX-License-Identifier: Apache-2.0
#pragma once

// What Gemma 2 and Gemma 3 share.

#include "base/result.h"
#include "model/config.h"
#include "model/reader.h"

namespace mirage::model {

// Embedding scale, GELU, and the attention scale, which no key holds: 1/sqrt(head_dim) but in the
// 27B model, known by its layer count, where it is 1/sqrt(embedding / heads).
[[nodiscard]] Status ReadGemmaScales(Config& config, size_t layers_of_27b);

// Every `period`-th layer attends to everything, the others to the window; a file may name another
// period (0: every layer has the window).
[[nodiscard]] Status ReadGemmaWindows(Reader& reader, Config& config, uint32_t default_period);

}  // namespace mirage::model
