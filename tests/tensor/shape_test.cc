// SPDX-License-Identifier: Apache-2.0

#include "tensor/shape.h"

#include <gtest/gtest.h>

#include <vector>

namespace mirage::tensor {
namespace {

Result<Shape> Make(std::vector<uint64_t> dims) { return Shape::Make(dims); }

TEST(Shape, MissingDimensionsAreOne) {
  const Shape shape = Make({576, 3}).value();
  EXPECT_EQ(shape.rank(), 2);
  EXPECT_EQ(shape.cols(), 576);
  EXPECT_EQ(shape.rows(), 3);
  EXPECT_EQ(shape[2], 1);
  EXPECT_EQ(shape[3], 1);
  EXPECT_EQ(shape.elements(), 1728);
  EXPECT_EQ(ToString(shape), "[576, 3]");
  EXPECT_EQ(shape, (Shape{576, 3}));
}

TEST(Shape, RanksOutsideOneToFourAreRefused) {
  EXPECT_FALSE(Make({}));
  EXPECT_TRUE(Make({1, 2, 3, 4}));
  EXPECT_FALSE(Make({1, 2, 3, 4, 5}));
}

TEST(Shape, ADimensionOfZeroIsRefusedByItsPlace) {
  const auto shape = Make({4, 0, 2});
  ASSERT_FALSE(shape);
  EXPECT_EQ(shape.error().code, Code::kCorrupt);
  EXPECT_NE(shape.error().message.find("dimension 1 is 0"), std::string::npos);
}

TEST(Shape, AProductThatWrapsIsRefused) {
  EXPECT_FALSE(Make({1ull << 63}));
  EXPECT_FALSE(Make({1ull << 32, 1ull << 32}));
  EXPECT_FALSE(Make({1ull << 32, 1ull << 31}));
  EXPECT_FALSE(Make({3, 0x5555555555555556ull}));  // wraps to 2 in 64 bits
  EXPECT_TRUE(Make({1ull << 31, 1ull << 31}));
}

TEST(Shape, BytesCountBlocksOfEveryRow) {
  EXPECT_EQ(TensorBytes(DType::kQ4_0, {64, 3, 2}).value(), 6u * 2 * 18);
  EXPECT_FALSE(TensorBytes(DType::kQ4_0, {48, 2}));
  EXPECT_FALSE(TensorBytes(DType::kF64, {1ll << 31, 1ll << 31}));
}

}  // namespace
}  // namespace mirage::tensor
