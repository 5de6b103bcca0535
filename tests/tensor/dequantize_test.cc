// SPDX-License-Identifier: Apache-2.0

#include "tensor/dequantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/half.h"
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

TEST(FindNonFinite, GivesTheFirstBlockThatDecodesToNoNumberInEveryType) {
  std::mt19937 random(7);
  for (const DTypeInfo& info : kDTypes) {
    if (!info.supported) continue;
    constexpr size_t kBlocks = 700;  // more than the stretch that is looked at in one go
    int found = 0;
    for (int round = 0; round < 200; ++round) {
      // Blocks of zeros are numbers; one of random bytes may be none.
      std::vector<std::byte> blocks(kBlocks * info.block_bytes);
      const size_t odd = random() % kBlocks;
      for (size_t i = 0; i < info.block_bytes; ++i)
        blocks[odd * info.block_bytes + i] = static_cast<std::byte>(random());
      // Of the largest powers of two that MXFP4 has, some elements overflow and the scale does not.
      if (info.dtype == DType::kMXFP4) {
        std::byte& scale = blocks[odd * info.block_bytes];
        scale = round % 8 == 0 ? std::byte{255} : std::min(scale, std::byte{252});
      }
      std::vector<float> decoded(info.block_elements);
      DequantizeRow(info.dtype, blocks.data() + odd * info.block_bytes, decoded.data(),
                    info.block_elements);
      const bool bad = !std::all_of(decoded.begin(), decoded.end(),
                                    [](float element) { return std::isfinite(element); });
      found += bad;
      const auto at = FindNonFinite(info.dtype, blocks);
      ASSERT_EQ(at.has_value(), bad) << info.name << " round " << round;
      ASSERT_EQ(at.value_or(0), bad ? odd * info.block_bytes : 0) << info.name;
    }
    // F32 and BF16 patterns are none in one case of 256.
    EXPECT_TRUE(found > 0 || info.block_elements == 1) << info.name;
  }
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    std::vector<float> values(1000, 1.0f);
    values[999] = bad;
    EXPECT_EQ(FindNonFinite(DType::kF32, std::as_bytes(std::span(values))), 999 * sizeof(float));
    std::vector<uint16_t> halves(1000, 0);
    halves[300] = FloatToHalf(bad);
    EXPECT_EQ(FindNonFinite(DType::kF16, std::as_bytes(std::span(halves))), 600u);
    halves[300] = FloatToBf16(bad);
    EXPECT_EQ(FindNonFinite(DType::kBF16, std::as_bytes(std::span(halves))), 600u);
  }
  EXPECT_EQ(FindNonFinite(DType::kQ4_0, {}), std::nullopt);
}

// Every number of 16 bits, at each place beside the largest and the least there are.
TEST(FindNonFinite, SeesEachNumberWhereverItStands) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const uint16_t largest = dtype == DType::kF16 ? 0x7BFF : 0x7F7F;
    for (uint32_t bits = 0; bits < 0x10000; ++bits)
      for (size_t at = 0; at < 7; ++at) {
        std::vector<uint16_t> halves(7, at % 2 == 0 ? largest : largest | 0x8000);
        halves[at] = static_cast<uint16_t>(bits);
        const float value =
            dtype == DType::kF16 ? HalfToFloat(halves[at]) : Bf16ToFloat(halves[at]);
        const auto expected = std::isfinite(value) ? std::nullopt : std::optional<uint64_t>(2 * at);
        ASSERT_EQ(FindNonFinite(dtype, std::as_bytes(std::span(halves))), expected)
            << bits << " at " << at;
      }
  }
}

}  // namespace
}  // namespace mirage::tensor
