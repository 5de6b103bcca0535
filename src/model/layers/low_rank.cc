// SPDX-License-Identifier: Apache-2.0
#include "model/layers/low_rank.h"

#include <algorithm>

namespace mirage::model {

namespace {

kernels::LowRankArgs ArgsFor(const AdapterUse& use, const LowRankGroup& updates,
                             const AdaptedRows& rows, const MatrixGroup& group, const float* x,
                             std::span<const LinearOutput> outputs,
                             const std::optional<RowBlock>& block) {
  kernels::LowRankArgs args{};
  args.x = x + int64_t{rows.row0} * group.cols;
  args.tokens = rows.rows;
  args.cols = group.cols;
  args.t = use.adapter->scratch();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const LowRank& update = updates.members[i];
    if (update.rank == 0) continue;
    const RowBlock of = block ? *block : RowBlock{0, group.rows[i]};
    const uint64_t row_bytes = *tensor::RowBytes(update.b_type, update.rank);  // of a float type
    args.outputs[args.output_count++] = {update.a_type,
                                         update.b_type,
                                         update.a,
                                         update.b + static_cast<uint64_t>(of.first) * row_bytes,
                                         update.rank,
                                         of.rows,
                                         update.scale * use.scale,
                                         outputs[i].y + rows.row0 * outputs[i].stride,
                                         outputs[i].stride};
  }
  return args;
}

}  // namespace

void AddRows(int32_t row0, int32_t rows, const AdapterSet* adapters,
             std::vector<AdaptedRows>* adapted) {
  if (adapters == nullptr || rows == 0) return;
  if (!adapted->empty()) {
    AdaptedRows& last = adapted->back();
    if (last.row0 + last.rows == row0 && last.adapters->uses == adapters->uses) {
      last.rows += rows;
      return;
    }
  }
  adapted->push_back({row0, rows, adapters});
}

std::vector<AdaptedRows> RowsWithin(std::span<const AdaptedRows> adapted, int32_t row0,
                                    int32_t rows) {
  std::vector<AdaptedRows> within;
  for (const AdaptedRows& of : adapted) {
    const int32_t begin = std::max(of.row0, row0);
    const int32_t end = std::min(of.row0 + of.rows, row0 + rows);
    if (begin < end) within.push_back({begin - row0, end - begin, of.adapters});
  }
  return within;
}

Status AddLowRank(const Backend& backend, std::span<const AdaptedRows> adapted,
                  Projection projection, int32_t layer, const MatrixGroup& group, const float* x,
                  std::span<const LinearOutput> outputs, std::optional<RowBlock> block) {
  for (const AdaptedRows& rows : adapted)
    for (const AdapterUse& use : rows.adapters->uses) {
      const LowRankGroup& updates = use.adapter->Of(projection, layer);
      if (!updates.changes_anything()) continue;
      MIRAGE_TRY(backend.CheckWanted());
      MIRAGE_TRY(backend.ops.low_rank(backend.stream,
                                      ArgsFor(use, updates, rows, group, x, outputs, block)));
    }
  return {};
}

}  // namespace mirage::model
