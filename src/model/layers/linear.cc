// SPDX-License-Identifier: Apache-2.0
#include "model/layers/linear.h"

#include <algorithm>
#include <vector>

#include "tensor/packed_rows.h"

namespace mirage::model {

namespace {

// Multiplications and additions of one call, after which it is asked whether the rest is wanted.
constexpr int64_t kMostWork = int64_t{1} << 29;

// Collects the segments of regions at hand into one call.
class Batch {
 public:
  explicit Batch(const Backend& backend) : backend_(backend) { args_.count = 0; }

  // False when the region does not fit beside what was collected.
  [[nodiscard]] bool Add(const Product& product, const Region& region, memory::Lease& lease) {
    if (!HasRoom(product, region, lease)) return false;
    if (last_ != &product) Begin(product);
    kernels::MatMulArgs& args = args_.products[args_.count - 1];
    for (int32_t i = 0; i < args.output_count; ++i) {
      AddPiece(args.outputs[i].weight, region.pieces[i], lease);
      work_ += region.pieces[i].source.rows * args.outputs[i].weight.cols * args.tokens;
    }
    leases_.push_back(std::move(lease));
    return true;
  }

  [[nodiscard]] bool Large() const { return work_ >= kMostWork; }

  [[nodiscard]] Status Flush() {
    if (leases_.empty()) return {};
    MIRAGE_TRY(backend_.CheckWanted());
    MIRAGE_TRY(args_.count == 1 ? backend_.ops.matmul(backend_.stream, args_.products[0])
                                : backend_.ops.matmul_each(backend_.stream, args_));
    args_.count = 0;
    last_ = nullptr;
    leases_.clear();
    work_ = 0;
    return {};
  }

 private:
  [[nodiscard]] bool HasRoom(const Product& product, const Region& region,
                             const memory::Lease& lease) const {
    if (last_ != &product) return args_.count < kernels::kMaxProducts;
    const kernels::MatMulArgs& args = args_.products[args_.count - 1];
    for (int32_t i = 0; i < args.output_count; ++i)
      if (args.outputs[i].weight.segment_count == kernels::kMaxSegments &&
          !Joins(args.outputs[i].weight, region.pieces[i], lease))
        return false;
    return true;
  }

  void Begin(const Product& product) {
    const MatrixGroup& group = *product.group;
    kernels::MatMulArgs& args = args_.products[args_.count++];
    args = {product.x, product.tokens, group.members, {}};
    for (int32_t i = 0; i < group.members; ++i)
      args.outputs[i] = {{group.dtypes[i], group.cols, 0, {}},
                         product.outputs[i].bias,
                         product.outputs[i].y,
                         product.outputs[i].stride};
    last_ = &product;
  }

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
  kernels::MatMulEachArgs args_;
  const Product* last_ = nullptr;  // whose regions are being added
  std::vector<memory::Lease> leases_;
  int64_t work_ = 0;
};

bool AtHand(const memory::RegionStore& store, memory::RegionIndex region) {
  const memory::RegionState state = store.state(region);
  return state == memory::RegionState::kResident || state == memory::RegionState::kMapped;
}

}  // namespace

Status LinearEach(const Backend& backend, const ModelLayout& layout,
                  std::span<const Product> products) {
  Batch batch(backend);
  for (const Product& product : products) {
    for (uint32_t i = 0; i < product.group->region_count; ++i) {
      const memory::RegionIndex region = product.group->first_region + i;
      const bool at_hand = AtHand(backend.store, region);
      if (!at_hand) MIRAGE_TRY(batch.Flush());  // computes while the region is on its way
      MIRAGE_TRY_ASSIGN(memory::Lease lease, backend.store.Acquire(region, backend.stream));
      if (!batch.Add(product, layout.regions[region], lease)) {
        MIRAGE_TRY(batch.Flush());
        // An empty batch takes any region.
        static_cast<void>(batch.Add(product, layout.regions[region], lease));
      }
      if (!at_hand || batch.Large()) MIRAGE_TRY(batch.Flush());
    }
  }
  return batch.Flush();
}

Status Linear(const Backend& backend, const MatrixGroup& group, const ModelLayout& layout,
              const kernels::Activations& x, int32_t tokens,
              std::span<const LinearOutput> outputs) {
  Product product{&group, x, tokens, {}};
  std::copy(outputs.begin(), outputs.end(), product.outputs.begin());
  return LinearEach(backend, layout, {&product, 1});
}

}  // namespace mirage::model
