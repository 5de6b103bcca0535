// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reader: a model file as an architecture's file asks for it: keys under the architecture's prefix,
// tensors by name with the shape they must have.
//
// It remembers which tensors were asked for, so that a file with a tensor nobody reads (a bias this
// build would leave out) is refused instead of run wrongly.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_error.h"
#include "base/result.h"
#include "format/model_file.h"
#include "model/tensor_map.h"

namespace mirage::model {

class Reader {
 public:
  // `session_context`: the longest sequence the model will be run with; LongRoPE chooses its
  // factors by it.
  Reader(const format::ModelFile& file, std::string architecture, int64_t session_context);

  [[nodiscard]] const format::ModelFile& file() const { return file_; }
  [[nodiscard]] const std::string& architecture() const { return architecture_; }
  [[nodiscard]] int64_t session_context() const { return session_context_; }

  // The key "<architecture>.<suffix>".
  template <typename T>
  [[nodiscard]] Result<T> Key(std::string_view suffix) const {
    return file_.metadata().Get<T>(Full(suffix));
  }
  template <typename T>
  [[nodiscard]] Result<T> KeyOr(std::string_view suffix, T fallback) const {
    return file_.metadata().GetOr<T>(Full(suffix), fallback);
  }
  template <typename T>
  [[nodiscard]] Result<std::vector<T>> PerLayer(std::string_view suffix, size_t layers) const {
    return file_.metadata().GetPerLayer<T>(Full(suffix), layers);
  }
  [[nodiscard]] bool Has(std::string_view suffix) const {
    return file_.metadata().Has(Full(suffix));
  }
  // An error about that key; of an array, about that element.
  [[nodiscard]] tl::unexpected<Error> AboutKey(Code code, std::string_view suffix,
                                               std::string_view problem,
                                               uint64_t element = 0) const {
    return KeyError(code, Full(suffix), problem, element);
  }

  [[nodiscard]] bool HasTensor(std::string_view name) const {
    return file_.FindTensor(name) != nullptr;
  }
  // The whole tensor as a matrix [rows, cols]; kCorrupt naming it when it is missing or has another
  // shape, kUnsupported when no kernel reads its type.
  [[nodiscard]] Result<TensorSlice> Matrix(std::string_view name, int64_t rows, int64_t cols);
  // A tensor [cols, rows, experts], the matrices of all experts one after the other; as Matrix.
  [[nodiscard]] Result<TensorSlice> ExpertMatrices(std::string_view name, int64_t experts,
                                                   int64_t rows, int64_t cols);
  // The whole tensor as a vector; absent is an absent slice when `optional`.
  [[nodiscard]] Result<TensorSlice> Vector(std::string_view name, int64_t length,
                                           bool optional = false);
  // A small vector's values, or a small matrix's, [rows][cols].
  [[nodiscard]] Result<std::vector<float>> Values(std::string_view name, int64_t length) {
    return Values(name, 1, length);
  }
  [[nodiscard]] Result<std::vector<float>> Values(std::string_view name, int64_t rows,
                                                  int64_t cols);

  // kUnsupported naming the first tensor that was never asked for.
  [[nodiscard]] Status CheckEveryTensorRead() const;

 private:
  [[nodiscard]] std::string Full(std::string_view suffix) const {
    return architecture_ + "." + std::string(suffix);
  }
  [[nodiscard]] Result<int32_t> Take(std::string_view name, int64_t rows, int64_t cols);

  const format::ModelFile& file_;
  const std::string architecture_;
  const int64_t session_context_;
  std::vector<bool> read_;
};

}  // namespace mirage::model
