// SPDX-License-Identifier: Apache-2.0

#include "sample/penalties.h"

#include <algorithm>
#include <vector>

namespace mirage::sample {
namespace {

// Calls visit(token, count) for each distinct token of `tokens` that has a logit.
template <typename Visit>
void ForEachDistinct(std::span<const int32_t> tokens, size_t vocabulary, Visit visit) {
  std::vector<int32_t> sorted(tokens.begin(), tokens.end());
  std::sort(sorted.begin(), sorted.end());
  for (size_t begin = 0; begin < sorted.size();) {
    size_t end = begin + 1;
    while (end < sorted.size() && sorted[end] == sorted[begin]) ++end;
    const int32_t token = sorted[begin];
    if (token >= 0 && static_cast<size_t>(token) < vocabulary) visit(token, end - begin);
    begin = end;
  }
}

std::span<const int32_t> RepeatWindow(std::span<const int32_t> history, int32_t repeat_last_n) {
  if (repeat_last_n < 0) return history;
  return history.last(std::min(history.size(), static_cast<size_t>(repeat_last_n)));
}

}  // namespace

void ApplyPenalties(const Params& params, std::span<const int32_t> history, size_t output_begin,
                    std::span<float> logits) {
  if (params.repeat_penalty != 1.0f) {
    ForEachDistinct(
        RepeatWindow(history, params.repeat_last_n), logits.size(), [&](int32_t token, size_t) {
          float& logit = logits[token];
          logit = logit > 0 ? logit / params.repeat_penalty : logit * params.repeat_penalty;
        });
  }
  if (params.presence_penalty != 0.0f || params.frequency_penalty != 0.0f) {
    const auto output = history.subspan(std::min(output_begin, history.size()));
    ForEachDistinct(output, logits.size(), [&](int32_t token, size_t count) {
      logits[token] -=
          params.frequency_penalty * static_cast<float>(count) + params.presence_penalty;
    });
  }
}

}  // namespace mirage::sample
