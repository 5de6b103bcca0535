// SPDX-License-Identifier: Apache-2.0
#include "model/layers/linear.h"

#include <vector>

#include "tensor/packed_rows.h"

namespace mirage::model {

namespace {

// Multiplications and additions of one call, after which it is asked whether the rest is wanted.
constexpr int64_t kMostWork = int64_t{1} << 29;

// Collects the segments of regions at hand into one call.
class Batch {
 public:
  Batch(const Backend& backend, const MatrixGroup& group, const kernels::Activations& x,
        int32_t tokens, std::span<const LinearOutput> outputs)
      : backend_(backend) {
    args_ = {x, tokens, group.members, {}};
    for (int32_t i = 0; i < group.members; ++i)
      args_.outputs[i] = {
          {group.dtypes[i], group.cols, 0, {}}, outputs[i].bias, outputs[i].y, outputs[i].stride};
  }

  // False when the region does not fit beside what was collected.
  [[nodiscard]] bool Add(const Region& region, memory::Lease& lease) {
    for (int32_t i = 0; i < args_.output_count; ++i)
      if (args_.outputs[i].weight.segment_count == kernels::kMaxSegments &&
          !Joins(args_.outputs[i].weight, region.pieces[i], lease))
        return false;
    for (int32_t i = 0; i < args_.output_count; ++i) {
      AddPiece(args_.outputs[i].weight, region.pieces[i], lease);
      work_ += region.pieces[i].source.rows * args_.outputs[i].weight.cols * args_.tokens;
    }
    leases_.push_back(std::move(lease));
    return true;
  }

  [[nodiscard]] bool Large() const { return work_ >= kMostWork; }

  [[nodiscard]] Status Flush() {
    if (leases_.empty()) return {};
    MIRAGE_TRY(backend_.CheckWanted());
    MIRAGE_TRY(backend_.ops.matmul(backend_.stream, args_));
    for (int32_t i = 0; i < args_.output_count; ++i) args_.outputs[i].weight.segment_count = 0;
    leases_.clear();
    work_ = 0;
    return {};
  }

 private:
  // Whether the piece's rows follow the last segment's in memory, whole row groups only.
  static bool Joins(const kernels::WeightView& view, const Piece& piece,
                    const memory::Lease& lease) {
    if (piece.source.rows == 0) return true;
    if (view.segment_count == 0) return false;
    const kernels::WeightSegment& last = view.segments[view.segment_count - 1];
    const uint64_t row_bytes = piece.bytes / static_cast<uint64_t>(piece.source.rows);
    return last.row0 + last.rows == piece.row0 && last.rows % kernels::kRowGroup == 0 &&
           last.data + row_bytes * static_cast<uint64_t>(last.rows) == lease.data() + piece.offset;
  }

  static void AddPiece(kernels::WeightView& view, const Piece& piece, const memory::Lease& lease) {
    if (piece.source.rows == 0) return;
    const auto rows = static_cast<int32_t>(piece.source.rows);
    if (Joins(view, piece, lease))
      view.segments[view.segment_count - 1].rows += rows;
    else
      view.segments[view.segment_count++] = {lease.data() + piece.offset,
                                             static_cast<int32_t>(piece.row0), rows};
  }

  const Backend& backend_;
  kernels::MatMulArgs args_;
  std::vector<memory::Lease> leases_;
  int64_t work_ = 0;
};

bool AtHand(const memory::RegionStore& store, memory::RegionIndex region) {
  const memory::RegionState state = store.state(region);
  return state == memory::RegionState::kResident || state == memory::RegionState::kMapped;
}

}  // namespace

Status Linear(const Backend& backend, const MatrixGroup& group, const ModelLayout& layout,
              const kernels::Activations& x, int32_t tokens,
              std::span<const LinearOutput> outputs) {
  Batch batch(backend, group, x, tokens, outputs);
  for (uint32_t i = 0; i < group.region_count; ++i) {
    const memory::RegionIndex region = group.first_region + i;
    const bool at_hand = AtHand(backend.store, region);
    if (!at_hand) MIRAGE_TRY(batch.Flush());  // computes while the region is on its way
    MIRAGE_TRY_ASSIGN(memory::Lease lease, backend.store.Acquire(region, backend.stream));
    if (!batch.Add(layout.regions[region], lease)) {
      MIRAGE_TRY(batch.Flush());
      static_cast<void>(
          batch.Add(layout.regions[region], lease));  // an empty batch takes any region
    }
    if (!at_hand || batch.Large()) MIRAGE_TRY(batch.Flush());
  }
  return batch.Flush();
}

}  // namespace mirage::model
