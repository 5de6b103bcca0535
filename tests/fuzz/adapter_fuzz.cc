// SPDX-License-Identifier: Apache-2.0

// Any bytes as a LoRA adapter of a small model: an Error of the right kind, or updates that lie
// within both files and fit the model.

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "format/open.h"
#include "model/adapter_map.h"
#include "tests/format/gguf_builder.h"
#include "tests/fuzz/require.h"

namespace mirage::model {
namespace {

// A layer with q of its own and gate and up in one tensor, an untied head.
struct Base {
  format::ModelFile file;
  TensorMap map;

  Base() : file(Open()) {
    map.embedding = Slice("token_embd.weight", 0, 5);
    map.head = Slice("output.weight", 0, 5);
    map.output_norm = Slice("output_norm.weight", 0, 1);
    LayerTensors& layer = map.layers.emplace_back();
    layer[Vector::kFfnNorm] = Slice("blk.0.ffn_norm.weight", 0, 1);
    layer[Matrix::kQ] = Slice("blk.0.attn_q.weight", 0, 6);
    layer[Matrix::kGate] = Slice("blk.0.ffn_up.weight", 0, 3);
    layer[Matrix::kUp] = Slice("blk.0.ffn_up.weight", 3, 3);
  }

 private:
  static format::ModelFile Open() {
    test::GgufBuilder builder;
    builder.AddKey("general.architecture", "llama");
    const auto add = [&](const char* name, std::vector<uint64_t> dims) {
      builder.AddZeroTensor(name, tensor::DType::kF32, std::move(dims));
    };
    add("token_embd.weight", {4, 5});
    add("output.weight", {4, 5});
    add("output_norm.weight", {4});
    add("blk.0.ffn_norm.weight", {4});
    add("blk.0.attn_q.weight", {4, 6});
    add("blk.0.ffn_up.weight", {4, 6});
    return format::OpenModel(test::OneShard(builder.Build())).value();
  }
  [[nodiscard]] TensorSlice Slice(const char* name, int64_t row0, int64_t rows) const {
    return {static_cast<int32_t>(file.FindTensor(name) - file.tensors().data()), row0, rows};
  }
};

void CheckPiece(const AdapterPiece& piece, const format::ModelFile& adapter, const Base& base) {
  const auto tensors = static_cast<int32_t>(adapter.tensors().size());
  Require(piece.a.tensor >= 0 && piece.a.tensor < tensors && piece.b.tensor >= 0 &&
              piece.b.tensor < tensors,
          "an update's tensors are the file's");
  const tensor::Shape& a = adapter.tensors()[piece.a.tensor].shape;
  const tensor::Shape& b = adapter.tensors()[piece.b.tensor].shape;
  Require(piece.rank >= 1 && piece.rank <= kMostAdapterRank && a.rows() == piece.rank &&
              b.cols() == piece.rank && a.cols() == 4,
          "an update's shapes fit");
  Require(piece.a.row0 == 0 && piece.a.rows == a.rows() && piece.b.row0 >= 0 && piece.b.rows > 0 &&
              piece.b.row0 + piece.b.rows <= b.rows(),
          "an update's rows are there");
  Require(piece.layer == 0 || piece.layer == 1, "an update is of a layer or the head");
  const TensorSlice& changed = piece.layer == 1 ? base.map.head : base.map.layers[0][piece.matrix];
  Require(changed.present() && changed.rows == piece.b.rows, "an update is of a matrix there is");
}

}  // namespace
}  // namespace mirage::model

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  using namespace mirage;
  using namespace mirage::model;
  static const Base base;
  const auto file = format::OpenModel({std::make_shared<MemorySource>(
      std::span(reinterpret_cast<const std::byte*>(data), bytes), "adapter")});
  if (!file) return 0;
  const Result<AdapterMap> map = DescribeAdapter(*file, base.file, base.map);
  if (map) {
    for (const AdapterPiece& piece : map->pieces) CheckPiece(piece, *file, base);
    return 0;
  }
  Require(map.error().code == Code::kCorrupt || map.error().code == Code::kUnsupported ||
              map.error().code == Code::kInvalidArgument,
          "a bad adapter is kCorrupt, kUnsupported or kInvalidArgument");
  Require(map.error().message.starts_with("adapter: "), "an error names the file");
  return 0;
}
