// SPDX-License-Identifier: Apache-2.0
#include "model/row_cuts.h"

#include <algorithm>

#include "base/checked.h"

namespace mirage::model {

namespace {

// Cuts into `parts` at multiples of `unit` rows; parts left without rows are not there.
std::vector<RowEnds> CutAt(std::span<const MatrixRows> matrices, int64_t parts, int64_t unit) {
  std::vector<RowEnds> cuts;
  RowEnds last{};
  for (int64_t part = 1; part <= parts; ++part) {
    RowEnds ends{};
    for (size_t i = 0; i < matrices.size(); ++i) {
      const int64_t units = (matrices[i].rows + unit - 1) / unit;
      ends[i] = std::min(matrices[i].rows, units * part / parts * unit);
    }
    if (ends == last) continue;
    cuts.push_back(ends);
    last = ends;
  }
  return cuts;
}

bool WithinBound(std::span<const MatrixRows> matrices, const std::vector<RowEnds>& cuts,
                 uint64_t most_bytes) {
  RowEnds begins{};
  for (const RowEnds& ends : cuts) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < matrices.size(); ++i)
      bytes = RoundUp(bytes, kPieceAlignment) +
              static_cast<uint64_t>(ends[i] - begins[i]) * matrices[i].row_bytes;
    if (bytes > most_bytes) return false;
    begins = ends;
  }
  return true;
}

}  // namespace

std::vector<RowEnds> CutRows(std::span<const MatrixRows> matrices, uint64_t most_bytes) {
  uint64_t total = 0;
  int64_t most_rows = 1;
  for (const MatrixRows& matrix : matrices) {
    total += matrix.row_bytes * static_cast<uint64_t>(matrix.rows);
    most_rows = std::max(most_rows, matrix.rows);
  }
  const auto fewest = std::max<int64_t>(1, static_cast<int64_t>(CeilDiv(total, most_bytes)));
  for (const int64_t unit : {32, 8, 1}) {
    const int64_t most = (most_rows + unit - 1) / unit;
    // Growing steps: finding the fewest of thousands is worth less than the search.
    for (int64_t parts = fewest; parts <= most; parts += 1 + parts / 64) {
      std::vector<RowEnds> cuts = CutAt(matrices, parts, unit);
      if (WithinBound(matrices, cuts, most_bytes)) return cuts;
    }
    std::vector<RowEnds> cuts = CutAt(matrices, most, unit);
    if (WithinBound(matrices, cuts, most_bytes)) return cuts;
  }
  return CutAt(matrices, most_rows, 1);
}

}  // namespace mirage::model
