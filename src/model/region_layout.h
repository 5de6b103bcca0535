// SPDX-License-Identifier: Apache-2.0
#pragma once

// RegionLayout: how a model's tensors are cut into regions (memory/region.h).
//
// Per layer, in the order a forward pass needs them: its vectors; q, k and v; o; gate and up; down.
// In a mixture of experts instead of the last two: the router; then for each expert its gate and
// up, and its down, in regions of that expert alone, since a pass needs some of the experts only.
// After the last layer: the final norm; the head in row blocks. Matrices that share an input are
// cut into matching row runs of at most MaxRegionBytes (model/row_cuts.h), so that runs of adjacent
// regions join into one when all are resident.

#include <array>
#include <cstdint>
#include <vector>

#include "base/result.h"
#include "format/model_file.h"
#include "kernels/ops.h"
#include "memory/region.h"
#include "model/config.h"
#include "model/tensor_map.h"

namespace mirage::model {

// Rows of a file tensor within a region: packed for kernels, or one row widened to floats.
struct Piece {
  TensorSlice source;
  uint64_t offset = 0;  // within the region, a multiple of 64
  uint64_t bytes = 0;
  int64_t row0 = 0;  // of the model's matrix
  bool floats = false;
};

struct Region {
  memory::RegionInfo info;
  std::vector<Piece> pieces;
};

// Matrices that share an input, over a run of regions. Piece i of every region belongs to member i.
struct MatrixGroup {
  memory::RegionIndex first_region = 0;
  uint32_t region_count = 0;
  int32_t members = 0;
  std::array<tensor::DType, kernels::kMaxOutputs> dtypes{};
  std::array<int32_t, kernels::kMaxOutputs> rows{};
  int32_t cols = 0;

  [[nodiscard]] bool ReadsQuantized() const;
  [[nodiscard]] bool ReadsFloats() const;
};

// One expert of a mixture. All of a layer have the same types and shapes.
struct ExpertPlaces {
  MatrixGroup gate_up;
  MatrixGroup down;
};

inline constexpr uint64_t kAbsent = ~uint64_t{0};

// Where a layer's weights are.
struct LayerPlaces {
  memory::RegionIndex vectors_region = 0;
  std::array<uint64_t, static_cast<size_t>(Vector::kCount)>
      vectors;  // byte offsets in it, or kAbsent
  MatrixGroup qkv;
  MatrixGroup o;
  MatrixGroup gate_up;
  MatrixGroup down;
  MatrixGroup router;
  std::vector<ExpertPlaces> experts;  // in place of gate_up and down
};

struct ModelLayout {
  std::vector<Region> regions;
  std::vector<LayerPlaces> layers;
  memory::RegionIndex output_norm_region = 0;
  MatrixGroup head;
  bool stored = false;  // the file, a pack, holds exactly these regions, in this order

  [[nodiscard]] uint64_t total_bytes() const;
  // All regions but those of experts.
  [[nodiscard]] std::vector<memory::RegionIndex> NeededByEveryPass() const;
  // What one token's pass reads of the regions in `counted`, on average over the experts.
  [[nodiscard]] uint64_t BytesPerToken(const Config& config,
                                       const std::vector<bool>& counted) const;
  [[nodiscard]] uint64_t heap_bytes() const;  // of this description itself
  // The most rows of the head in one region.
  [[nodiscard]] int64_t head_block_rows() const;
};

[[nodiscard]] Result<ModelLayout> MakeLayout(const format::ModelFile& file, const TensorMap& map,
                                             uint32_t model_number);

}  // namespace mirage::model
