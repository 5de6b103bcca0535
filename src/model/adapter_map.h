// SPDX-License-Identifier: Apache-2.0
#pragma once

// AdapterMap: which tensors of a LoRA file (arXiv 2106.09685) change which matrices of a model.
//
// The file is GGUF with general.type "adapter", adapter.type "lora", the base model's architecture,
// and for each tensor of the model that it changes, `<name>.lora_a` [rank, inputs] and
// `<name>.lora_b` [outputs, rank]: what is added to the tensor is alpha / rank * b a, or b a where
// adapter.lora.alpha is 0 or missing.
//
// A pure function of two headers; a file is untrusted.

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "format/model_file.h"
#include "model/tensor_map.h"

namespace mirage::model {

inline constexpr int64_t kMostAdapterRank = 4096;

// The update of one of the model's matrices.
struct AdapterPiece {
  int32_t layer = 0;           // the number of layers: the head
  Matrix matrix = Matrix::kQ;  // of a layer
  TensorSlice a;               // [rank, inputs], all of the file's
  TensorSlice b;               // [outputs, rank], of the file's the matrix's rows
  int32_t rank = 0;
  float scale = 1.0f;
};

struct AdapterMap {
  float alpha = 0.0f;                // 0: none
  std::vector<AdapterPiece> pieces;  // those of one tensor side by side
};

// Fails with kInvalidArgument for a file that is no adapter or is made for another model, with
// kUnsupported for what this build does not apply, and with kCorrupt; messages name the file, the
// tensor or the key, and the byte.
[[nodiscard]] Result<AdapterMap> DescribeAdapter(const format::ModelFile& adapter,
                                                 const format::ModelFile& model,
                                                 const TensorMap& map);

}  // namespace mirage::model
