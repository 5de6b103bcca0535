// SPDX-License-Identifier: Apache-2.0
#include "model/reader.h"

#include <cstddef>
#include <utility>

#include "tensor/dequantize.h"
#include "tensor/packed_rows.h"

namespace mirage::model {

Reader::Reader(const format::ModelFile& file, std::string architecture, int64_t session_context)
    : file_(file),
      architecture_(std::move(architecture)),
      session_context_(session_context),
      read_(file.tensors().size(), false) {}

Result<TensorSlice> Reader::Matrix(std::string_view name, int64_t rows, int64_t cols) {
  MIRAGE_TRY_ASSIGN(const int32_t index, Take(name, rows, cols));
  const format::TensorInfo& tensor = file_.tensors()[index];
  if (!tensor::IsPackable(tensor.dtype))
    return TensorError(
        Code::kUnsupported, tensor.name,
        "is of type " + std::string(tensor::Name(tensor.dtype)) + ", which no kernel reads");
  return TensorSlice{index, 0, rows};
}

Result<TensorSlice> Reader::ExpertMatrices(std::string_view name, int64_t experts, int64_t rows,
                                           int64_t cols) {
  const format::TensorInfo* tensor = file_.FindTensor(name);
  if (tensor != nullptr && (tensor->shape[1] != rows || tensor->shape[2] != experts))
    return TensorError(Code::kCorrupt, name,
                       "has shape " + ToString(tensor->shape) + ", expected [" +
                           std::to_string(cols) + ", " + std::to_string(rows) + ", " +
                           std::to_string(experts) + "]");
  return Matrix(name, experts * rows, cols);
}

Result<TensorSlice> Reader::Vector(std::string_view name, int64_t length, bool optional) {
  if (optional && !HasTensor(name)) return TensorSlice{};
  MIRAGE_TRY_ASSIGN(const int32_t index, Take(name, 1, length));
  return TensorSlice{index, 0, 1};
}

Result<std::vector<float>> Reader::Values(std::string_view name, int64_t rows, int64_t cols) {
  MIRAGE_TRY_ASSIGN(const int32_t index, Take(name, rows, cols));
  const format::TensorInfo& tensor = file_.tensors()[index];
  std::vector<std::byte> raw(tensor.extent.bytes);
  MIRAGE_TRY(file_.ReadTensor(tensor, 0, raw));
  std::vector<float> values(static_cast<size_t>(rows * cols));
  const size_t row_bytes = raw.size() / static_cast<size_t>(rows);
  for (int64_t row = 0; row < rows; ++row)
    tensor::DequantizeRow(tensor.dtype, raw.data() + static_cast<size_t>(row) * row_bytes,
                          values.data() + row * cols, cols);
  return values;
}

Status Reader::CheckEveryTensorRead() const {
  for (size_t i = 0; i < read_.size(); ++i)
    if (!read_[i])
      return TensorError(
          Code::kUnsupported, file_.tensors()[i].name,
          "is no part of architecture '" + architecture_ + "' as this build knows it");
  return {};
}

Result<int32_t> Reader::Take(std::string_view name, int64_t rows, int64_t cols) {
  const format::TensorInfo* tensor = file_.FindTensor(name);
  if (tensor == nullptr) return TensorError(Code::kCorrupt, name, "is missing");
  const auto index = static_cast<size_t>(tensor - file_.tensors().data());
  if (tensor->shape.cols() != cols || tensor->shape.rows() != rows)
    return TensorError(Code::kCorrupt, name,
                       "has shape " + ToString(tensor->shape) + ", expected " +
                           ToString(tensor::Shape{cols, rows}));
  if (!tensor::Info(tensor->dtype).supported)
    return TensorError(Code::kUnsupported, name,
                       "is of type " + std::string(tensor::Name(tensor->dtype)) +
                           ", which this build does not decode");
  read_[index] = true;
  return static_cast<int32_t>(index);
}

}  // namespace mirage::model
