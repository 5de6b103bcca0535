// SPDX-License-Identifier: Apache-2.0
#pragma once

// LoRA adapters for tests: the golden ones, and random ones made in memory.

#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tensor/quantize.h"
#include "tests/format/gguf_builder.h"
#include "tests/model/golden_files.h"

namespace mirage::model {

// A random update of rank `rank` of each of `tensors`, which are matrices of `model`.
struct RandomAdapter {
  std::vector<std::string> tensors;
  uint32_t rank = 4;
  float alpha = 8.0f;
  tensor::DType dtype = tensor::DType::kF32;
  uint32_t seed = 1;

  // To be spoiled before Build() where a test wants that.
  [[nodiscard]] test::GgufBuilder File(const format::ModelFile& model) const {
    test::GgufBuilder file;
    file.AddKey("general.type", "adapter")
        .AddKey("adapter.type", "lora")
        .AddKey("general.architecture",
                model.metadata().Get<std::string>("general.architecture").value())
        .AddKey("adapter.lora.alpha", alpha);
    std::mt19937 random(seed);
    for (const std::string& name : tensors) {
      const tensor::Shape& shape = model.FindTensor(name)->shape;
      const auto cols = static_cast<uint32_t>(shape.cols());
      Add(file, random, name + ".lora_a", cols, rank, 1.0f / std::sqrt(static_cast<float>(cols)));
      Add(file, random, name + ".lora_b", rank, static_cast<uint32_t>(shape.rows()),
          1.0f / std::sqrt(static_cast<float>(rank)));
    }
    return file;
  }
  [[nodiscard]] std::vector<std::byte> Build(const format::ModelFile& model) const {
    return File(model).Build();
  }

 private:
  void Add(test::GgufBuilder& file, std::mt19937& random, const std::string& name, uint32_t cols,
           uint32_t rows, float range) const {
    std::vector<float> row(cols);
    const tensor::DTypeInfo& info = tensor::Info(dtype);
    const size_t row_bytes = cols / info.block_elements * info.block_bytes;
    std::vector<std::byte> data(row_bytes * rows);
    for (uint32_t r = 0; r < rows; ++r) {
      for (float& value : row)
        value = range * (static_cast<float>(random()) / 2147483648.0f - 1.0f);
      tensor::QuantizeRow(dtype, row.data(), data.data() + r * row_bytes, cols);
    }
    file.AddTensor(name, dtype, {cols, rows}, std::move(data));
  }
};

// The matrices of every layer of a llama file, by their names.
[[nodiscard]] inline std::vector<std::string> LayerMatrices(int layers) {
  std::vector<std::string> names;
  for (int layer = 0; layer < layers; ++layer)
    for (const char* matrix :
         {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})
      names.push_back("blk." + std::to_string(layer) + "." + matrix + ".weight");
  return names;
}

[[nodiscard]] inline Result<std::shared_ptr<const AdapterSet>> OneAdapter(
    const Model& model, const format::ModelFile& file, float scale = 1.0f) {
  MIRAGE_TRY_ASSIGN(std::shared_ptr<const Adapter> adapter, model.LoadAdapter(file));
  return MakeAdapterSet({{std::move(adapter), scale}});
}

}  // namespace mirage::model
