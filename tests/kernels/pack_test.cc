// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/integer_block.h"
#include "tensor/dequantize.h"
#include "tensor/packed_rows.h"
#include "tests/kernels/kernel_test.h"

namespace mirage::kernels {
namespace {

std::vector<DType> AllTypes() {
  std::vector<DType> types(std::begin(kFloatTypes), std::end(kFloatTypes));
  types.insert(types.end(), std::begin(kQuantTypes), std::end(kQuantTypes));
  return types;
}

TEST(Pack, UnpackRestoresEveryBit) {
  Random random(1);
  for (const DType dtype : AllTypes()) {
    for (const int64_t rows : {0, 1, 7, 8, 9, 16, 31, 64}) {
      const int64_t cols = 512;
      std::vector<std::byte> plain(*tensor::RowBytes(dtype, cols) * static_cast<uint64_t>(rows));
      for (std::byte& byte : plain) byte = static_cast<std::byte>(random.Int(0, 255));
      const std::vector<std::byte> packed = Packed(dtype, rows, cols, plain);
      std::vector<std::byte> back(plain.size());
      ASSERT_TRUE(tensor::UnpackRows(dtype, rows, cols, packed, back));
      EXPECT_EQ(plain, back) << tensor::Name(dtype) << " rows " << rows;
    }
  }
}

TEST(Pack, RowsPastTheLastGroupStayAsTheyAre) {
  Random random(2);
  const auto plain = RandomRows(random, DType::kQ4_0, 11, 64);
  const auto packed = Packed(DType::kQ4_0, 11, 64, plain);
  const auto group_bytes = static_cast<std::ptrdiff_t>(8 * *tensor::RowBytes(DType::kQ4_0, 64));
  EXPECT_TRUE(std::equal(plain.begin() + group_bytes, plain.end(), packed.begin() + group_bytes));
}

TEST(Pack, AQuadOfAGroupHoldsTheSameColumnsOfEightRows) {
  Random random(3);
  const auto plain = RandomRows(random, DType::kQ8_0, 8, 32);
  const auto packed = Packed(DType::kQ8_0, 8, 32, plain);
  for (size_t row = 0; row < 8; ++row)
    for (size_t column = 0; column < 32; ++column)
      EXPECT_EQ(plain[34 * row + 2 + column], packed[16 + column / 4 * 32 + 4 * row + column % 4]);
}

TEST(Pack, WrongSizesAreRefused) {
  std::vector<std::byte> small(10);
  std::vector<std::byte> out(18 * 8);
  EXPECT_EQ(tensor::PackRows(DType::kQ4_0, 8, 32, small, out).error().code, Code::kInvalidArgument);
  EXPECT_EQ(tensor::PackRows(DType::kQ4_0, -1, 32, {}, {}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(tensor::PackRows(DType::kQ4_0, 8, 33, small, out).error().code, Code::kCorrupt);
  EXPECT_EQ(tensor::PackRows(DType::kIQ2_S, 8, 256, small, out).error().code, Code::kUnsupported);
}

TEST(IntegerBlock, HasTheValuesOfTheRow) {
  Random random(4);
  const int64_t cols = 512;
  for (const DType dtype : kQuantTypes) {
    const auto row = RandomRows(random, dtype, 1, cols);
    std::vector<float> values(static_cast<size_t>(cols));
    tensor::DequantizeRow(dtype, row.data(), values.data(), cols);
    for (int64_t index = 0; index < cols / kBlock; ++index) {
      IntegerBlock block;
      ASSERT_TRUE(ReadIntegerBlock(dtype, row.data(), index, &block));
      for (int c = 0; c < kBlock; ++c) {
        const float expected = values[static_cast<size_t>(index * kBlock + c)];
        float value = block.d * static_cast<float>(block.scale[c / 16] * block.q[c]);
        if (MinimumOf(dtype) == Minimum::kPerBlock) value += block.m;
        if (MinimumOf(dtype) == Minimum::kPerHalf)
          value += block.m * static_cast<float>(block.min[c / 16]);
        // Both forms round a product and a sum, in different orders.
        const float magnitude = std::fabs(block.d * static_cast<float>(block.scale[c / 16]) * 32) +
                                std::fabs(block.m) * 16;
        ASSERT_NEAR(value, expected, magnitude * 0x1p-21f)
            << tensor::Name(dtype) << " column " << index * kBlock + c;
      }
    }
  }
}

}  // namespace
}  // namespace mirage::kernels
