// SPDX-License-Identifier: Apache-2.0
#include "model/expert_rows.h"

#include <cstddef>

namespace mirage::model {

std::vector<ExpertRows> SortByExpert(std::span<const int32_t> chosen,
                                     std::span<const float> weights, int32_t used, int32_t experts,
                                     int32_t* pair_rows, float* pair_weights) {
  std::vector<int32_t> next(static_cast<size_t>(experts), 0);
  for (const int32_t expert : chosen) ++next[static_cast<size_t>(expert)];
  std::vector<ExpertRows> with_rows;
  int32_t first = 0;
  for (int32_t expert = 0; expert < experts; ++expert) {
    int32_t& count = next[static_cast<size_t>(expert)];
    if (count == 0) continue;
    with_rows.push_back({expert, first, count});
    const int32_t end = first + count;
    count = first;
    first = end;
  }
  for (size_t i = 0; i < chosen.size(); ++i) {
    const int32_t pair = next[static_cast<size_t>(chosen[i])]++;
    pair_rows[pair] = static_cast<int32_t>(i) / used;
    pair_weights[pair] = weights[i];
  }
  return with_rows;
}

}  // namespace mirage::model
