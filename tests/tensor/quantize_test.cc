// SPDX-License-Identifier: Apache-2.0

#include "tensor/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "tensor/dequantize.h"

namespace mirage::tensor {
namespace {

constexpr int64_t kElements = 1024;

std::vector<float> RoundTrip(DType dtype, const std::vector<float>& values) {
  std::vector<std::byte> blocks(RowBytes(dtype, kElements).value());
  QuantizeRow(dtype, values.data(), blocks.data(), kElements);
  std::vector<float> decoded(values.size());
  DequantizeRow(dtype, blocks.data(), decoded.data(), kElements);
  return decoded;
}

std::vector<float> Uniform(float low, float high) {
  std::mt19937 engine(7);
  std::uniform_real_distribution<float> distribution(low, high);
  std::vector<float> values(kElements);
  for (float& value : values) value = distribution(engine);
  return values;
}

// The greatest error for values in [-1, 1], from the type's step. Signed codes [-2^(b-1), 2^(b-1) -
// 1] miss the end opposite to the extreme by a whole step of 1 / 2^(b-1); elsewhere half a step is
// lost. Small integer scales add up to half of their own step, relative to the greatest value of
// the group.
double ErrorBound(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 0x1p-12;
    case DType::kBF16:
      return 0x1p-9;
    case DType::kQ8_0:
      return 1.01 * 0.5 / 127;
    case DType::kQ4_0:
      return 1.01 / 8;
    case DType::kQ5_0:
      return 1.01 / 16;
    case DType::kQ4_1:
      return 1.02 * 0.5 * 2 / 15;
    case DType::kQ5_1:
      return 1.02 * 0.5 * 2 / 31;
    case DType::kQ2_K:
      return 0.5 * 2 / 3 + 1.0 / 15;
    case DType::kQ3_K:
      return 1.0 / 4 + 1.0 / 32;
    case DType::kQ4_K:
      return 0.5 * 2 / 15 + 1.0 / 63;
    case DType::kQ5_K:
      return 0.5 * 2 / 31 + 1.0 / 63;
    case DType::kQ6_K:
      return 1.0 / 32 + 1.0 / 128;
    case DType::kIQ4_NL:  // the widest gap is 24 of 127, the end is missed by 127 - 113
      return 1.01 * 14 / 127;
    case DType::kIQ4_XS:
      return 14.0 / 127 + 1.0 / 32;
    case DType::kMXFP4:  // values of [1/2, 1] lie in steps of 1/4 up to 3/4, which saturates
      return 0.25 * 1.01;
    default:
      return -1;
  }
}

TEST(QuantizeRow, ErrorsStayWithinTheTypesStep) {
  const std::vector<float> values = Uniform(-1, 1);
  for (const DTypeInfo& info : kDTypes) {
    if (!info.supported) continue;
    const std::vector<float> decoded = RoundTrip(info.dtype, values);
    double worst = 0;
    for (size_t i = 0; i < values.size(); ++i)
      worst = std::max(worst, std::fabs(static_cast<double>(values[i]) - decoded[i]));
    EXPECT_LE(worst, ErrorBound(info.dtype)) << info.name;
    EXPECT_GE(worst, ErrorBound(info.dtype) / 4) << info.name << ": the bound is not tight";
  }
}

TEST(QuantizeRow, ZerosStayZeros) {
  const std::vector<float> zeros(kElements, 0.0f);
  for (const DTypeInfo& info : kDTypes) {
    if (!info.supported) continue;
    for (const float value : RoundTrip(info.dtype, zeros)) ASSERT_EQ(value, 0.0f) << info.name;
  }
}

TEST(QuantizeRow, ScalesFollowTheMagnitudeOfEachBlock) {
  std::vector<float> values = Uniform(-1, 1);
  for (size_t i = 0; i < values.size() / 2; ++i)
    values[i] *= 0x1p-8f;  // two blocks of 256 each way
  for (const DTypeInfo& info : kDTypes) {
    if (!info.supported) continue;
    const std::vector<float> decoded = RoundTrip(info.dtype, values);
    for (size_t i = 0; i < values.size() / 2; ++i)
      ASSERT_LE(std::fabs(values[i] - decoded[i]), ErrorBound(info.dtype) * 0x1.01p-8)
          << info.name << " element " << i;
  }
}

TEST(QuantizeRow, WhatWasDecodedIsEncodedAgainUnchangedBySymmetricTypes) {
  const std::vector<float> values = Uniform(-1, 1);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0,
                            DType::kQ5_0, DType::kIQ4_NL}) {
    const std::vector<float> once = RoundTrip(dtype, values);
    EXPECT_EQ(RoundTrip(dtype, once), once) << Name(dtype);
  }
}

}  // namespace
}  // namespace mirage::tensor
