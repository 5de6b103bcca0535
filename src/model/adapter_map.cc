// SPDX-License-Identifier: Apache-2.0
#include "model/adapter_map.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "base/file_error.h"
#include "base/printable.h"

namespace mirage::model {

namespace {

constexpr std::string_view kSuffixA = ".lora_a";
constexpr std::string_view kSuffixB = ".lora_b";

// A matrix of the model, by the tensor of the model's file that holds it.
struct Target {
  int32_t layer;
  Matrix matrix;
  TensorSlice rows;
};

std::vector<Target> TargetsByTensor(const TensorMap& map) {
  std::vector<Target> targets;
  for (size_t layer = 0; layer < map.layers.size(); ++layer)
    for (size_t matrix = 0; matrix < static_cast<size_t>(Matrix::kCount); ++matrix)
      if (const TensorSlice& rows = map.layers[layer].matrices[matrix]; rows.present())
        targets.push_back({static_cast<int32_t>(layer), static_cast<Matrix>(matrix), rows});
  if (map.head.tensor != map.embedding.tensor)
    targets.push_back({static_cast<int32_t>(map.layers.size()), Matrix::kQ, map.head});
  std::stable_sort(targets.begin(), targets.end(),
                   [](const Target& a, const Target& b) { return a.rows.tensor < b.rows.tensor; });
  return targets;
}

class Describer {
 public:
  Describer(const format::ModelFile& adapter, const format::ModelFile& model, const TensorMap& map)
      : adapter_(adapter), model_(model), map_(map), targets_(TargetsByTensor(map)) {}

  Result<AdapterMap> Describe() {
    MIRAGE_TRY(CheckKeys());
    if (adapter_.tensors().empty()) return FileError(Code::kCorrupt, "the adapter has no tensors");
    for (const format::TensorInfo& tensor : adapter_.tensors()) MIRAGE_TRY(Take(tensor));
    return std::move(result_);
  }

 private:
  [[nodiscard]] static tl::unexpected<Error> FailOn(Code code, const format::TensorInfo& tensor,
                                                    const std::string& text) {
    return AboutPart(code, "tensor '" + tensor.name + "': " + text,
                     {FilePart::Kind::kTensor, tensor.name, 0});
  }

  Status CheckKeys() {
    const format::Metadata& keys = adapter_.metadata();
    MIRAGE_TRY_ASSIGN(const auto type, keys.GetOr<std::string>("general.type", ""));
    if (type != "adapter")
      return KeyError(Code::kInvalidArgument, "general.type",
                      (type.empty() ? "is missing" : "says '" + Printable(type, 64) + "'") +
                          ", not 'adapter': it is no LoRA adapter");
    MIRAGE_TRY_ASSIGN(const auto kind, keys.Get<std::string>("adapter.type"));
    if (kind != "lora")
      return KeyError(Code::kUnsupported, "adapter.type",
                      "says '" + Printable(kind, 64) + "'; this build applies 'lora'");
    MIRAGE_TRY_ASSIGN(const auto architecture, keys.Get<std::string>("general.architecture"));
    MIRAGE_TRY_ASSIGN(const auto of_model,
                      model_.metadata().Get<std::string>("general.architecture"));
    if (architecture != of_model)
      return KeyError(
          Code::kInvalidArgument, "general.architecture",
          "says '" + Printable(architecture, 64) + "', that of the model '" + of_model + "'");
    if (keys.Has("adapter.alora.invocation_tokens"))
      return KeyError(Code::kUnsupported, "adapter.alora.invocation_tokens",
                      "is there: adapters that begin at their invocation tokens are not in this "
                      "build");
    MIRAGE_TRY_ASSIGN(result_.alpha, keys.GetOr<float>("adapter.lora.alpha", 0.0f));
    if (!std::isfinite(result_.alpha))
      return KeyError(Code::kCorrupt, "adapter.lora.alpha", "is not a finite number");
    return {};
  }

  // Of a pair, `lora_a` brings the pieces in and `lora_b` is only asked whether it has an `lora_a`.
  Status Take(const format::TensorInfo& tensor) {
    const std::string_view name = tensor.name;
    if (name.ends_with(kSuffixB)) {
      const std::string base(name.substr(0, name.size() - kSuffixB.size()));
      if (adapter_.FindTensor(base + std::string(kSuffixA)) != nullptr) return {};
      return FailOn(Code::kCorrupt, tensor, "'" + base + std::string(kSuffixA) + "' is missing");
    }
    if (!name.ends_with(kSuffixA))
      return FailOn(Code::kUnsupported, tensor,
                    "only tensors named .lora_a and .lora_b are applied by this build");
    const std::string base(name.substr(0, name.size() - kSuffixA.size()));
    const format::TensorInfo* const b = adapter_.FindTensor(base + std::string(kSuffixB));
    if (b == nullptr)
      return FailOn(Code::kCorrupt, tensor, "'" + base + std::string(kSuffixB) + "' is missing");
    return TakePair(base, tensor, *b);
  }

  Status TakePair(const std::string& base, const format::TensorInfo& a,
                  const format::TensorInfo& b) {
    const format::TensorInfo* const changed = model_.FindTensor(base);
    if (changed == nullptr)
      return FailOn(Code::kInvalidArgument, a,
                    "the model has no tensor '" + base + "'; is the adapter another model's?");
    const auto index = static_cast<int32_t>(changed - model_.tensors().data());
    if (index == map_.embedding.tensor)
      return FailOn(Code::kUnsupported, a, "this build does not adapt the token embedding");
    const auto [first, last] = std::equal_range(
        targets_.begin(), targets_.end(), Target{0, Matrix::kQ, {index, 0, 0}},
        [](const Target& x, const Target& y) { return x.rows.tensor < y.rows.tensor; });
    if (first == last)
      return FailOn(Code::kUnsupported, a, "'" + base + "' is no matrix that this build adapts");
    MIRAGE_TRY(CheckShapes(*changed, a, b));

    const int64_t rank = a.shape.rows();
    AdapterPiece piece;
    piece.rank = static_cast<int32_t>(rank);
    piece.scale = result_.alpha == 0.0f ? 1.0f : result_.alpha / static_cast<float>(rank);
    piece.a = {Index(a), 0, rank};
    for (auto target = first; target != last; ++target) {
      piece.layer = target->layer;
      piece.matrix = target->matrix;
      piece.b = {Index(b), target->rows.row0, target->rows.rows};
      result_.pieces.push_back(piece);
    }
    return {};
  }

  static Status CheckShapes(const format::TensorInfo& changed, const format::TensorInfo& a,
                            const format::TensorInfo& b) {
    for (const format::TensorInfo* tensor : {&a, &b}) {
      if (tensor->shape.rank() != 2)
        return FailOn(Code::kCorrupt, *tensor,
                      "it has " + std::to_string(tensor->shape.rank()) + " dimensions, not two");
      if (!tensor::Info(tensor->dtype).supported)
        return FailOn(Code::kUnsupported, *tensor,
                      "this build does not read type " + std::string(tensor::Name(tensor->dtype)));
    }
    const std::string shapes = ToString(a.shape) + " and " + ToString(b.shape);
    if (a.shape.cols() != changed.shape.cols() || b.shape.rows() != changed.shape.rows())
      return FailOn(Code::kInvalidArgument, a,
                    shapes + " do not fit the model's " + ToString(changed.shape));
    if (a.shape.rows() != b.shape.cols())
      return FailOn(Code::kCorrupt, a, shapes + " are of two ranks");
    if (a.shape.rows() > kMostAdapterRank)
      return FailOn(Code::kUnsupported, a,
                    "rank " + std::to_string(a.shape.rows()) + " is above " +
                        std::to_string(kMostAdapterRank));
    return {};
  }

  [[nodiscard]] int32_t Index(const format::TensorInfo& tensor) const {
    return static_cast<int32_t>(&tensor - adapter_.tensors().data());
  }

  const format::ModelFile& adapter_;
  const format::ModelFile& model_;
  const TensorMap& map_;
  const std::vector<Target> targets_;
  AdapterMap result_;
};

}  // namespace

Result<AdapterMap> DescribeAdapter(const format::ModelFile& adapter, const format::ModelFile& model,
                                   const TensorMap& map) {
  // Whatever is wrong has its place in the adapter's file.
  return adapter.Locate(Describer(adapter, model, map).Describe());
}

}  // namespace mirage::model
