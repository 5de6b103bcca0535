// SPDX-License-Identifier: Apache-2.0
#pragma once

// What adapters add to the products of their rows.
//
// A row is changed by its own adapters alone, and not touched without: its bits are those it would
// have in any other batch.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/adapter_set.h"
#include "model/layers/linear.h"

namespace mirage::model {

// Rows [row0, row0 + rows) of a batch, computed with the same adapters.
struct AdaptedRows {
  int32_t row0 = 0;
  int32_t rows = 0;
  const AdapterSet* adapters = nullptr;
};

// Appends rows that follow those that are there, to the last of them where the adapters are the
// same. Nothing for rows without.
void AddRows(int32_t row0, int32_t rows, const AdapterSet* adapters,
             std::vector<AdaptedRows>* adapted);

// Those of rows [row0, row0 + rows), counted from row0.
[[nodiscard]] std::vector<AdaptedRows> RowsWithin(std::span<const AdaptedRows> adapted,
                                                  int32_t row0, int32_t rows);

// Rows [first, first + rows) of a matrix; `first` is a multiple of 8.
struct RowBlock {
  int32_t first = 0;
  int32_t rows = 0;
};

// Adds to the products of `group`, given to Linear with the same outputs, what the rows' adapters
// have for them. x: [tokens, group.cols]. With `block`, of one matrix: outputs hold these of its
// rows alone.
[[nodiscard]] Status AddLowRank(const Backend& backend, std::span<const AdaptedRows> adapted,
                                Projection projection, int32_t layer, const MatrixGroup& group,
                                const float* x, std::span<const LinearOutput> outputs,
                                std::optional<RowBlock> block = {});

}  // namespace mirage::model
