// SPDX-License-Identifier: Apache-2.0
#pragma once

// Shape: one to four dimensions, ne[0] fastest.
//
// A *row* runs along ne[0] (its elements are the *cols*); a matrix that maps `in` features to `out`
// features is {in, out}. Dimensions past the rank are 1. Every dimension is at least 1 and the
// product fits int64_t.

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/result.h"
#include "tensor/dtype.h"

namespace mirage::tensor {

class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;  // one element
  // For dimensions the program chose; Make is for those of a file.
  Shape(std::initializer_list<int64_t> dims);

  // Fails with kCorrupt on a bad rank, a dimension of 0 or a product past int64_t.
  [[nodiscard]] static Result<Shape> Make(std::span<const uint64_t> dims);

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int64_t operator[](int dim) const { return ne_[dim]; }
  [[nodiscard]] int64_t cols() const { return ne_[0]; }
  [[nodiscard]] int64_t rows() const { return ne_[1] * ne_[2] * ne_[3]; }
  [[nodiscard]] int64_t elements() const { return cols() * rows(); }

  [[nodiscard]] bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, kMaxRank> ne_{1, 1, 1, 1};
  int rank_ = 1;
};

// "[576, 49152]"
[[nodiscard]] std::string ToString(const Shape& shape);

// Bytes of all rows; fails as RowBytes does.
[[nodiscard]] Result<uint64_t> TensorBytes(DType dtype, const Shape& shape);

}  // namespace mirage::tensor
