// SPDX-License-Identifier: Apache-2.0

#include "tensor/dequantize.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tensor/quant/mxfp4.h"

namespace mirage::tensor {
namespace {

struct Golden {
  DType dtype;
  std::vector<std::byte> blocks;
  std::vector<float> elements;
};

template <typename T>
std::vector<T> ReadVector(std::istream& in, uint32_t count) {
  std::vector<T> values(count);
  in.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(T)));
  return values;
}

// The records that make_quant_goldens.py wrote.
std::vector<Golden> ReadGoldens() {
  std::ifstream in(MIRAGE_SOURCE_DIR "/tests/tensor/data/quant_goldens.bin", std::ios::binary);
  std::vector<Golden> goldens;
  uint32_t head[3];
  while (in.read(reinterpret_cast<char*>(head), sizeof(head))) {
    Golden golden{static_cast<DType>(head[0]), ReadVector<std::byte>(in, head[2]), {}};
    golden.elements = ReadVector<float>(in, head[1]);
    goldens.push_back(std::move(golden));
  }
  return goldens;
}

TEST(DequantizeRow, AgreesWithTheGgufPackageToTheBitForEverySupportedType) {
  std::set<DType> seen;
  for (const Golden& golden : ReadGoldens()) {
    seen.insert(golden.dtype);
    std::vector<float> decoded(golden.elements.size());
    DequantizeRow(golden.dtype, golden.blocks.data(), decoded.data(),
                  static_cast<int64_t>(decoded.size()));
    for (size_t i = 0; i < decoded.size(); ++i) {
      if (std::isnan(golden.elements[i])) {
        ASSERT_TRUE(std::isnan(decoded[i])) << Name(golden.dtype) << " element " << i;
        continue;
      }
      // Zeros may differ in sign: the package multiplies in another order.
      ASSERT_EQ(decoded[i], golden.elements[i]) << Name(golden.dtype) << " element " << i;
    }
  }
  for (const DTypeInfo& info : kDTypes)
    EXPECT_EQ(seen.count(info.dtype) == 1, info.supported) << info.name;
}

TEST(DequantizeRow, SourcesNeedNoAlignment) {
  for (const Golden& golden : ReadGoldens()) {
    std::vector<std::byte> shifted(golden.blocks.size() + 1);
    std::memcpy(shifted.data() + 1, golden.blocks.data(), golden.blocks.size());
    std::vector<float> expected(golden.elements.size());
    std::vector<float> decoded(golden.elements.size());
    const auto n = static_cast<int64_t>(decoded.size());
    DequantizeRow(golden.dtype, golden.blocks.data(), expected.data(), n);
    DequantizeRow(golden.dtype, shifted.data() + 1, decoded.data(), n);
    EXPECT_EQ(std::memcmp(decoded.data(), expected.data(), decoded.size() * sizeof(float)), 0)
        << Name(golden.dtype);
  }
}

TEST(Mxfp4, TheLeastScaleIsASubnormalPowerOfTwo) {
  BlockMXFP4 block{};
  block.e = 0;
  block.qs[0] = 0x21;  // element 0 is 0.5, element 16 is 1
  float out[32];
  Decode(block, out);
  EXPECT_EQ(out[0], 0x1p-128f);
  EXPECT_EQ(out[16], 0x1p-127f);
  EXPECT_EQ(out[1], 0.0f);
}

TEST(Mxfp4, ScaleByte255MakesEveryElementNan) {
  BlockMXFP4 block{};
  block.e = 255;
  float out[32];
  Decode(block, out);
  for (const float value : out) EXPECT_TRUE(std::isnan(value));
}

}  // namespace
}  // namespace mirage::tensor
