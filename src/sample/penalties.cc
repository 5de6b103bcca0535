// SPDX-License-Identifier: Apache-2.0

#include "sample/penalties.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace mirage::sample {
namespace {

// Calls visit(token, count) for each distinct token of `tokens` that has a logit.
template <typename Visit>
void ForEachDistinct(std::span<const int32_t> tokens, size_t vocabulary,
                     std::vector<int32_t>& counts, Visit visit) {
  counts.resize(std::max(counts.size(), vocabulary));
  const auto has_logit = [=](int32_t token) {
    return token >= 0 && static_cast<size_t>(token) < vocabulary;
  };
  for (const int32_t token : tokens)
    if (has_logit(token)) ++counts[static_cast<size_t>(token)];
  for (const int32_t token : tokens) {
    if (!has_logit(token)) continue;
    const int32_t count = std::exchange(counts[static_cast<size_t>(token)], 0);
    if (count > 0) visit(token, count);
  }
}

std::span<const int32_t> RepeatWindow(std::span<const int32_t> history, int32_t repeat_last_n) {
  if (repeat_last_n < 0) return history;
  return history.last(std::min(history.size(), static_cast<size_t>(repeat_last_n)));
}

}  // namespace

bool HasPenalties(const Params& params) {
  return params.repeat_penalty != 1.0f || params.presence_penalty != 0.0f ||
         params.frequency_penalty != 0.0f;
}

void ApplyPenalties(const Params& params, std::span<const int32_t> history, size_t output_begin,
                    float scale, std::span<float> logits, Workspace& workspace) {
  if (params.repeat_penalty != 1.0f) {
    ForEachDistinct(RepeatWindow(history, params.repeat_last_n), logits.size(), workspace.per_token,
                    [&](int32_t token, int32_t) {
                      float& logit = logits[static_cast<size_t>(token)];
                      logit =
                          logit > 0 ? logit / params.repeat_penalty : logit * params.repeat_penalty;
                    });
  }
  if (params.presence_penalty != 0.0f || params.frequency_penalty != 0.0f) {
    const auto output = history.subspan(std::min(output_begin, history.size()));
    ForEachDistinct(output, logits.size(), workspace.per_token, [&](int32_t token, int32_t count) {
      logits[static_cast<size_t>(token)] -=
          scale * (params.frequency_penalty * static_cast<float>(count) + params.presence_penalty);
    });
  }
}

}  // namespace mirage::sample
