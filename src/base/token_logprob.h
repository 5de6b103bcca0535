// SPDX-License-Identifier: Apache-2.0
#pragma once

// TokenLogprob: a token and how likely it is.

#include <cstdint>

namespace mirage {

struct TokenLogprob {
  int32_t token;
  float logprob;  // natural log of the softmax of the unmodified logits, computed in double
};

}  // namespace mirage
