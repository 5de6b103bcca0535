// SPDX-License-Identifier: Apache-2.0
#pragma once

// TensorMap: which rows of which file tensor play which part in the model.
//
// A matrix of the model may be some rows of a tensor in the file (Phi-3 keeps q, k and v in one),
// so everything is a slice. Shapes have been checked against the Config when the map exists.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace mirage::model {

// Rows [row0, row0 + rows) of a file tensor; tensor < 0: the model has no such part. A vector is
// one row.
struct TensorSlice {
  int32_t tensor = -1;
  int64_t row0 = 0;
  int64_t rows = 0;
  [[nodiscard]] bool present() const { return tensor >= 0; }
};

// A layer's matrices, each [rows = outputs, cols = inputs].
enum class Matrix : uint8_t { kQ, kK, kV, kO, kGate, kUp, kDown, kCount };
// A layer's vectors, read by kernels as floats.
enum class Vector : uint8_t {
  kAttentionNorm,
  kQBias,
  kKBias,
  kVBias,
  kQNorm,
  kKNorm,
  kOBias,
  kPostAttentionNorm,
  kFfnNorm,
  kGateBias,
  kUpBias,
  kDownBias,
  kPostFfnNorm,
  kCount,
};

// The tensors of a mixture of experts. Rows [e * n, (e + 1) * n) of gate, up and down are expert
// e's, n the rows of one.
struct ExpertTensors {
  TensorSlice router;  // [experts, embedding]
  TensorSlice gate;    // [experts * ffn, embedding]
  TensorSlice up;      // [experts * ffn, embedding]
  TensorSlice down;    // [experts * embedding, ffn]
};

struct LayerTensors {
  std::array<TensorSlice, static_cast<size_t>(Matrix::kCount)> matrices;
  std::array<TensorSlice, static_cast<size_t>(Vector::kCount)> vectors;
  ExpertTensors experts;  // in place of gate, up and down
  [[nodiscard]] TensorSlice& operator[](Matrix m) { return matrices[static_cast<size_t>(m)]; }
  [[nodiscard]] TensorSlice& operator[](Vector v) { return vectors[static_cast<size_t>(v)]; }
  [[nodiscard]] const TensorSlice& operator[](Matrix m) const {
    return matrices[static_cast<size_t>(m)];
  }
  [[nodiscard]] const TensorSlice& operator[](Vector v) const {
    return vectors[static_cast<size_t>(v)];
  }
};

struct TensorMap {
  std::vector<LayerTensors> layers;
  TensorSlice embedding;    // [vocabulary, embedding], gathered row by row from the file
  TensorSlice output_norm;  // [embedding]
  TensorSlice head;         // [vocabulary, embedding]; the embedding's tensor when tied
};

}  // namespace mirage::model
