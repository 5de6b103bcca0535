// SPDX-License-Identifier: Apache-2.0
#pragma once

// CutRows: where matrices that share an input are cut into regions of matching row runs.
//
// A pure function.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops.h"

namespace mirage::model {

struct MatrixRows {
  int64_t rows = 0;
  uint64_t row_bytes = 0;
};

// The row of each matrix at which a region ends.
using RowEnds = std::array<int64_t, kernels::kMaxOutputs>;

// Pieces of a region begin at multiples of this.
inline constexpr uint64_t kPieceAlignment = 64;

// As few regions of about equal size as there can be with no more than `most_bytes` in any, their
// pieces side by side at aligned offsets, and none empty. Cuts are at multiples of 32 rows, or of
// 8, which kernels take together, or of 1 where rows are long. One row of each matrix is the least:
// only longer ones exceed the bound.
[[nodiscard]] std::vector<RowEnds> CutRows(std::span<const MatrixRows> matrices,
                                           uint64_t most_bytes);

}  // namespace mirage::model
