// SPDX-License-Identifier: Apache-2.0
#pragma once

// Workspace: memory that choosing a token needs, kept from one to the next so that none is taken
// per token. Holds nothing that matters between two of them. One thread at a time.

#include <cstdint>
#include <vector>

#include "sample/draw.h"

namespace mirage::sample {

struct Workspace {
  Remaining remaining;
  std::vector<Candidate> best;      // the likeliest, where a stage needs them aside
  std::vector<float> block_max;     // see LogitScan
  std::vector<float> original;      // logits as the model gave them
  std::vector<float> kept;          // logits of the allowed tokens
  std::vector<int32_t> per_token;   // [vocabulary]; all zero between two uses
  std::vector<int32_t> per_offset;  // of a window of the text
};

}  // namespace mirage::sample
