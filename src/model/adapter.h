// SPDX-License-Identifier: Apache-2.0
#pragma once

// Adapter: a LoRA adapter in memory, ready to take part in passes of its model.
//
// Weights are kept in the arena, packed for the kernels: F32, F16 and BF16 as the file has them,
// other types widened to F32. All of it is counted in the ledger for as long as the object lives;
// nothing of the file is needed any more.
//
// Immutable once loaded: any thread. The model outlives it. Its scratch is the pass's alone.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "format/model_file.h"
#include "format/session_file.h"
#include "kernels/ops.h"
#include "memory/arena.h"
#include "memory/arena_block.h"
#include "memory/ledger.h"
#include "model/adapter_map.h"
#include "model/region_layout.h"

namespace mirage::model {

// The matrices that are multiplied together, as in LayerPlaces.
enum class Projection : uint8_t { kQkv, kO, kGateUp, kDown, kHead };

// What is added to one matrix's product; rank 0: nothing.
struct LowRank {
  int32_t rank = 0;
  float scale = 1.0f;
  tensor::DType a_type = tensor::DType::kF32;
  tensor::DType b_type = tensor::DType::kF32;
  const std::byte* a = nullptr;  // as kernels::LowRankOutput has them
  const std::byte* b = nullptr;
};

// By member of the MatrixGroup.
struct LowRankGroup {
  std::array<LowRank, kernels::kMaxOutputs> members;
  [[nodiscard]] bool changes_anything() const;
};

// What an adapter is loaded for; needed while it loads, but for the arena and the promise.
struct AdapterBase {
  const format::ModelFile& file;
  const TensorMap& map;
  const ModelLayout& layout;
  memory::Arena& arena;
  memory::Promise* promise = nullptr;  // drawn on first
  int64_t step_tokens = 0;
};

// Called from the loading thread; false cancels.
using AdapterProgress = std::function<bool(uint64_t done_bytes, uint64_t total_bytes)>;

class Adapter {
 public:
  // Fails as DescribeAdapter does, with kOutOfMemory, naming the bytes, and with kCancelled.
  [[nodiscard]] static Result<std::shared_ptr<const Adapter>> Load(const AdapterBase& base,
                                                                   const format::ModelFile& file,
                                                                   const AdapterProgress& progress);
  // What Load takes at its most.
  [[nodiscard]] static Result<uint64_t> BytesToLoad(const AdapterBase& base,
                                                    const format::ModelFile& file);

  // `layer` is without meaning for the head.
  [[nodiscard]] const LowRankGroup& Of(Projection projection, int32_t layer) const;

  // Of everything in the file that decides what is computed: equal for equal files.
  [[nodiscard]] const format::Fingerprint& fingerprint() const { return fingerprint_; }
  [[nodiscard]] int32_t rank() const { return rank_; }          // the largest
  [[nodiscard]] float alpha() const { return alpha_; }          // of the file; 0: none
  [[nodiscard]] int32_t matrices() const { return matrices_; }  // that it changes
  [[nodiscard]] uint64_t bytes() const { return block_.bytes() + tables_.bytes(); }
  // Floats [step_tokens, the widest group's ranks].
  [[nodiscard]] float* scratch() const { return reinterpret_cast<float*>(block_.base()); }

 private:
  struct Room;
  using Layer = std::array<LowRankGroup, 4>;

  Adapter() = default;
  [[nodiscard]] static Result<Room> RoomFor(const AdapterBase& base, const AdapterMap& map,
                                            const format::ModelFile& file);
  [[nodiscard]] LowRank& At(const AdapterPiece& piece);

  format::Fingerprint fingerprint_{};
  int32_t rank_ = 0;
  float alpha_ = 0.0f;
  int32_t matrices_ = 0;
  std::vector<Layer> layers_;
  LowRankGroup head_;
  memory::Holding tables_;
  memory::ArenaBlock block_;
};

}  // namespace mirage::model
