// SPDX-License-Identifier: Apache-2.0

#include "sample/dry.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace mirage::sample {
namespace {

// A base to the power of a long repetition: as good as forbidden, and still a number.
constexpr double kHighestPenalty = 1e30;

std::span<const int32_t> Window(std::span<const int32_t> history, int32_t last_n) {
  if (last_n < 0) return history;
  return history.last(std::min(history.size(), static_cast<size_t>(last_n)));
}

// How many tokens stand at the end of the window after the last breaker.
size_t LengthSinceBreaker(std::span<const int32_t> window, const TokenSequences* breakers) {
  if (breakers == nullptr) return window.size();
  size_t last_end = 0;
  for (size_t begin = window.size(); begin-- > 0;) {
    if (begin + breakers->longest() <= last_end) break;  // ends no later than the one found
    const size_t length = breakers->LongestAtBeginning(window.subspan(begin));
    if (length > 0) last_end = std::max(last_end, begin + length);
  }
  return window.size() - last_end;
}

// repeated[i]: how many tokens before window[n - i] are those that the window ends with. The
// Z function of the window read backwards (Gusfield, "Algorithms on Strings, Trees and Sequences",
// 1.4).
void CountRepeated(std::span<const int32_t> window, std::vector<int32_t>& repeated) {
  const auto n = static_cast<int32_t>(window.size());
  const auto backwards = [&](int32_t i) { return window[static_cast<size_t>(n - 1 - i)]; };
  repeated.assign(window.size(), 0);
  int32_t left = 0;
  int32_t right = 0;  // [left, right) equals the beginning, with the largest right so far
  for (int32_t i = 1; i < n; ++i) {
    int32_t length = i < right ? std::min(right - i, repeated[static_cast<size_t>(i - left)]) : 0;
    while (i + length < n && backwards(length) == backwards(i + length)) ++length;
    repeated[static_cast<size_t>(i)] = length;
    if (i + length > right) {
      left = i;
      right = i + length;
    }
  }
}

}  // namespace

void ApplyDry(const Params& params, std::span<const int32_t> history, float scale,
              std::span<float> logits, Workspace& workspace) {
  const std::span<const int32_t> window = Window(history, params.dry_penalty_last_n);
  if (params.dry_multiplier == 0 || window.size() < 2) return;
  const auto most = static_cast<int32_t>(LengthSinceBreaker(window, params.dry_breakers.get()));
  const int32_t least = std::max(1, params.dry_allowed_length);
  if (most < least) return;

  CountRepeated(window, workspace.per_offset);
  const std::vector<int32_t>& repeated = workspace.per_offset;
  std::vector<int32_t>& longest = workspace.per_token;
  longest.resize(std::max(longest.size(), logits.size()));
  const size_t n = window.size();
  for (size_t i = 1; i < n; ++i) {
    const int32_t length = std::min(repeated[i], most);
    const int32_t token = window[n - i];
    if (length < least || token < 0 || static_cast<size_t>(token) >= logits.size()) continue;
    longest[static_cast<size_t>(token)] = std::max(longest[static_cast<size_t>(token)], length);
  }
  for (size_t i = 1; i < n; ++i) {
    const int32_t token = window[n - i];
    if (token < 0 || static_cast<size_t>(token) >= logits.size()) continue;
    const int32_t length = std::exchange(longest[static_cast<size_t>(token)], 0);
    if (length == 0) continue;
    if (params.dry_breakers != nullptr && params.dry_breakers->HasSingle(token)) continue;
    const double penalty = params.dry_multiplier *
                           std::pow(double{params.dry_base}, length - params.dry_allowed_length);
    logits[static_cast<size_t>(token)] -=
        scale * static_cast<float>(std::min(penalty, kHighestPenalty));
  }
}

}  // namespace mirage::sample
