// SPDX-License-Identifier: Apache-2.0
#include "model/region_layout.h"

#include <algorithm>
#include <span>
#include <string>

#include "base/checked.h"
#include "model/row_cuts.h"

namespace mirage::model {

namespace {

// Builds the regions one after the other.
class Builder {
 public:
  Builder(const format::ModelFile& file, uint32_t model_number, uint64_t max_region_bytes)
      : file_(file), model_(model_number), max_region_bytes_(max_region_bytes) {}

  void BeginLayer(uint32_t layer) {
    layer_ = layer;
    part_ = 0;
    expert_ = 0;
  }
  void BeginExpert(int32_t expert) { expert_ = static_cast<uint16_t>(expert); }

  memory::RegionIndex NewRegion() {
    Region& region = layout.regions.emplace_back();
    region.info.id = {model_, layer_, part_++, expert_, 0};
    return static_cast<memory::RegionIndex>(layout.regions.size() - 1);
  }

  // Appends a vector, widened to floats, to the newest region and returns its offset.
  uint64_t AddVector(const TensorSlice& source) {
    const auto cols = static_cast<uint64_t>(file_.tensors()[source.tensor].shape.cols());
    return Append({source, 0, cols * sizeof(float), 0, true});
  }

  // Cuts matrices of equal width into as many regions as the size bound asks for.
  Result<MatrixGroup> AddMatrices(std::span<const TensorSlice> sources) {
    MatrixGroup group;
    group.first_region = static_cast<memory::RegionIndex>(layout.regions.size());
    std::array<MatrixRows, kernels::kMaxOutputs> shapes{};
    for (const TensorSlice& source : sources) {
      const format::TensorInfo& tensor = file_.tensors()[source.tensor];
      MatrixRows& shape = shapes[static_cast<size_t>(group.members)];
      shape.rows = source.rows;
      MIRAGE_TRY_ASSIGN(shape.row_bytes, tensor::RowBytes(tensor.dtype, tensor.shape.cols()));
      group.dtypes[group.members] = tensor.dtype;
      group.rows[group.members] = static_cast<int32_t>(source.rows);
      group.cols = static_cast<int32_t>(tensor.shape.cols());
      ++group.members;
    }
    const auto members = static_cast<size_t>(group.members);
    RowEnds begins{};
    for (const RowEnds& ends : CutRows(std::span(shapes).first(members), max_region_bytes_)) {
      NewRegion();
      for (size_t member = 0; member < members; ++member) {
        const TensorSlice& source = sources[member];
        const int64_t rows = ends[member] - begins[member];
        Append({{source.tensor, source.row0 + begins[member], rows},
                0,
                shapes[member].row_bytes * static_cast<uint64_t>(rows),
                begins[member],
                false});
      }
      begins = ends;
      ++group.region_count;
    }
    return group;
  }

  ModelLayout layout;

 private:
  uint64_t Append(Piece piece) {
    Region& region = layout.regions.back();
    piece.offset = RoundUp(region.info.bytes, kPieceAlignment);
    region.info.bytes = piece.offset + piece.bytes;
    region.pieces.push_back(piece);
    return piece.offset;
  }

  const format::ModelFile& file_;
  const uint32_t model_;
  const uint64_t max_region_bytes_;
  uint32_t layer_ = 0;
  uint16_t part_ = 0;
  uint16_t expert_ = 0;
};

// An equal part of a tensor's rows.
TensorSlice PartOf(const TensorSlice& all, int32_t part, int32_t parts) {
  const int64_t rows = all.rows / parts;
  return {all.tensor, all.row0 + part * rows, rows};
}

Status AddExperts(const ExpertTensors& tensors, int32_t count, Builder& builder,
                  LayerPlaces* places) {
  MIRAGE_TRY_ASSIGN(places->router, builder.AddMatrices({&tensors.router, 1}));
  places->experts.reserve(static_cast<size_t>(count));
  for (int32_t expert = 0; expert < count; ++expert) {
    builder.BeginExpert(expert);
    ExpertPlaces& added = places->experts.emplace_back();
    const TensorSlice gate_up[] = {PartOf(tensors.gate, expert, count),
                                   PartOf(tensors.up, expert, count)};
    const TensorSlice down = PartOf(tensors.down, expert, count);
    MIRAGE_TRY_ASSIGN(added.gate_up, builder.AddMatrices(gate_up));
    MIRAGE_TRY_ASSIGN(added.down, builder.AddMatrices({&down, 1}));
  }
  return {};
}

bool HoldsPiece(const format::ModelFile& file, const Piece& piece, uint64_t offset) {
  const format::TensorInfo& tensor = file.tensors()[piece.source.tensor];
  if (piece.floats)
    return !tensor.packed() && tensor.dtype == tensor::DType::kF32 &&
           tensor.extent.offset == offset;
  if (piece.source.rows == 0) return true;
  const auto run = std::lower_bound(
      tensor.runs.begin(), tensor.runs.end(), piece.source.row0,
      [](const format::PackedRun& candidate, int64_t row) { return candidate.row0 < row; });
  return run != tensor.runs.end() && run->row0 == piece.source.row0 &&
         run->rows == piece.source.rows && run->offset == offset;
}

// A pack made by another version may be cut otherwise: then it is read as any other file.
bool HoldsRegions(const format::ModelFile& file, const std::vector<Region>& regions) {
  if (file.regions().size() != regions.size()) return false;
  for (size_t i = 0; i < regions.size(); ++i) {
    const format::StoredRegion& stored = file.regions()[i];
    if (stored.bytes != regions[i].info.bytes) return false;
    for (const Piece& piece : regions[i].pieces)
      if (!HoldsPiece(file, piece, stored.offset + piece.offset)) return false;
  }
  return true;
}

}  // namespace

bool MatrixGroup::ReadsQuantized() const {
  return std::any_of(dtypes.begin(), dtypes.begin() + members, kernels::ReadsQuantized);
}

bool MatrixGroup::ReadsFloats() const {
  return !std::all_of(dtypes.begin(), dtypes.begin() + members, kernels::ReadsQuantized);
}

uint64_t ModelLayout::total_bytes() const {
  uint64_t total = 0;
  for (const Region& region : regions) total += region.info.bytes;
  return total;
}

uint64_t ModelLayout::heap_bytes() const {
  uint64_t total = regions.size() * sizeof(Region) + layers.size() * sizeof(LayerPlaces);
  for (const Region& region : regions) total += region.pieces.size() * sizeof(Piece);
  for (const LayerPlaces& layer : layers) total += layer.experts.size() * sizeof(ExpertPlaces);
  return total;
}

std::vector<memory::RegionIndex> ModelLayout::NeededByEveryPass() const {
  std::vector<bool> needed(regions.size(), true);
  for (const LayerPlaces& layer : layers)
    for (const ExpertPlaces& expert : layer.experts)
      for (const MatrixGroup* group : {&expert.gate_up, &expert.down})
        std::fill_n(needed.begin() + group->first_region, group->region_count, false);
  std::vector<memory::RegionIndex> order;
  for (memory::RegionIndex i = 0; i < regions.size(); ++i)
    if (needed[i]) order.push_back(i);
  return order;
}

uint64_t ModelLayout::BytesPerToken(const Config& config, const std::vector<bool>& counted) const {
  uint64_t total = 0;
  const auto bytes_of = [&](const MatrixGroup& group) {
    uint64_t bytes = 0;
    for (memory::RegionIndex i = group.first_region; i < group.first_region + group.region_count;
         ++i)
      if (counted[i]) bytes += regions[i].info.bytes;
    return bytes;
  };
  for (size_t i = 0; i < regions.size(); ++i)
    if (counted[i]) total += regions[i].info.bytes;
  for (size_t i = 0; i < layers.size(); ++i) {
    const ExpertsConfig& experts = config.layers[i].experts;
    uint64_t of_all = 0;
    for (const ExpertPlaces& expert : layers[i].experts)
      of_all += bytes_of(expert.gate_up) + bytes_of(expert.down);
    if (of_all > 0)
      total -= of_all / static_cast<uint64_t>(experts.count) *
               static_cast<uint64_t>(experts.count - experts.used);
  }
  return total;
}

int64_t ModelLayout::head_block_rows() const {
  int64_t most = 0;
  for (uint32_t i = 0; i < head.region_count; ++i)
    most = std::max(most, regions[head.first_region + i].pieces[0].source.rows);
  return most;
}

Result<ModelLayout> MakeLayout(const format::ModelFile& file, const TensorMap& map,
                               uint32_t model_number) {
  uint64_t model_bytes = 0;
  for (const format::TensorInfo& tensor : file.tensors()) model_bytes += tensor.extent.bytes;
  Builder builder(file, model_number, memory::MaxRegionBytes(model_bytes));

  for (size_t index = 0; index < map.layers.size(); ++index) {
    const LayerTensors& tensors = map.layers[index];
    builder.BeginLayer(static_cast<uint32_t>(index));
    LayerPlaces& places = builder.layout.layers.emplace_back();
    places.vectors_region = builder.NewRegion();
    for (size_t v = 0; v < places.vectors.size(); ++v)
      places.vectors[v] =
          tensors.vectors[v].present() ? builder.AddVector(tensors.vectors[v]) : kAbsent;

    const TensorSlice qkv[] = {tensors[Matrix::kQ], tensors[Matrix::kK], tensors[Matrix::kV]};
    MIRAGE_TRY_ASSIGN(places.qkv, builder.AddMatrices(qkv));
    MIRAGE_TRY_ASSIGN(places.o, builder.AddMatrices({&tensors[Matrix::kO], 1}));
    if (tensors.experts.router.present()) {
      const auto experts = static_cast<int32_t>(tensors.experts.router.rows);
      MIRAGE_TRY(AddExperts(tensors.experts, experts, builder, &places));
      continue;
    }
    const TensorSlice gate_up[] = {tensors[Matrix::kGate], tensors[Matrix::kUp]};
    MIRAGE_TRY_ASSIGN(places.gate_up, builder.AddMatrices(gate_up));
    MIRAGE_TRY_ASSIGN(places.down, builder.AddMatrices({&tensors[Matrix::kDown], 1}));
  }

  builder.BeginLayer(static_cast<uint32_t>(map.layers.size()));
  builder.layout.output_norm_region = builder.NewRegion();
  builder.AddVector(map.output_norm);
  MIRAGE_TRY_ASSIGN(builder.layout.head, builder.AddMatrices({&map.head, 1}));
  builder.layout.stored = HoldsRegions(file, builder.layout.regions);
  return std::move(builder.layout);
}

}  // namespace mirage::model
