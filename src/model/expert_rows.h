// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which rows of a batch go to which expert of a mixture.
//
// A pair is a row and one of its experts. Pairs are sorted by expert, then by row: an expert's rows
// are gathered side by side, and a row's outputs are added up in ascending order of experts, in
// whatever company it is.
//
// A pure function.

#include <cstdint>
#include <span>
#include <vector>

namespace mirage::model {

// The pairs [first, first + count) of one expert.
struct ExpertRows {
  int32_t expert = 0;
  int32_t first = 0;
  int32_t count = 0;
};

// chosen [rows, used]: ids below `experts`, a row's different ones; weights [rows, used]. Writes
// the sorted pairs' rows and weights, and returns the experts that have any, ascending.
[[nodiscard]] std::vector<ExpertRows> SortByExpert(std::span<const int32_t> chosen,
                                                   std::span<const float> weights, int32_t used,
                                                   int32_t experts, int32_t* pair_rows,
                                                   float* pair_weights);

}  // namespace mirage::model
