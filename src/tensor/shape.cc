// SPDX-License-Identifier: Apache-2.0

#include "tensor/shape.h"

#include <algorithm>
#include <cassert>

#include "base/checked.h"

namespace mirage::tensor {

Shape::Shape(std::initializer_list<int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  assert(rank_ >= 1 && rank_ <= kMaxRank);
  std::copy(dims.begin(), dims.end(), ne_.begin());
}

Result<Shape> Shape::Make(std::span<const uint64_t> dims) {
  if (dims.empty() || dims.size() > kMaxRank)
    return Fail(Code::kCorrupt, std::to_string(dims.size()) + " dimensions, expected 1 to 4");
  Shape shape;
  shape.rank_ = static_cast<int>(dims.size());
  int64_t elements = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    const auto dim = CheckedCast<int64_t>(dims[i]);
    if (!dim || *dim == 0)
      return Fail(Code::kCorrupt,
                  "dimension " + std::to_string(i) + " is " + std::to_string(dims[i]));
    const auto product = CheckedMul(elements, *dim);
    if (!product) return Fail(Code::kCorrupt, "the dimensions' product passes 2^63 elements");
    elements = *product;
    shape.ne_[i] = *dim;
  }
  return shape;
}

std::string ToString(const Shape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.rank(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

Result<uint64_t> TensorBytes(DType dtype, const Shape& shape) {
  MIRAGE_TRY_ASSIGN(const uint64_t row_bytes, RowBytes(dtype, shape.cols()));
  const auto bytes = CheckedMul<uint64_t>(row_bytes, static_cast<uint64_t>(shape.rows()));
  if (!bytes)
    return Fail(Code::kCorrupt, ToString(shape) + " of " + Info(dtype).name + " passes 2^64 bytes");
  return *bytes;
}

}  // namespace mirage::tensor
