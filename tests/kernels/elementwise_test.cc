// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/vector_math.h"
#include "tests/kernels/kernel_test.h"

namespace mirage::kernels {
namespace {

constexpr int32_t kOddCols[] = {1, 5, 8, 15, 16, 17, 31, 33, 64, 100, 576, 640};

// A table without fused multiply-add rounds differently in the last bits.
void ExpectAgrees(const Ops& ops, const std::vector<float>& expected,
                  const std::vector<float>& actual, const std::string& what) {
  if (IsExact(ops)) {
    ExpectSameBits(expected, actual, std::string(ops.name) + " " + what);
    return;
  }
  float largest = 1.0f;
  for (const float value : expected) largest = std::max(largest, std::fabs(value));
  ExpectNear(expected, actual, largest * 0x1p-19f, std::string(ops.name) + " " + what);
}

void ExpectSameBlocks(const std::vector<ActBlock>& expected, const std::vector<ActBlock>& actual,
                      const std::string& what) {
  ASSERT_EQ(expected.size(), actual.size());
  for (size_t i = 0; i < expected.size(); ++i)
    ASSERT_EQ(0, std::memcmp(&expected[i], &actual[i], sizeof(ActBlock))) << what << " block " << i;
}

class ElementwiseOn : public testing::TestWithParam<const Ops*> {
 protected:
  const Ops& ops() const { return *GetParam(); }
  std::string Named(const std::string& what) const { return std::string(ops().name) + " " + what; }
  Machine machine_{2};
};

TEST_P(ElementwiseOn, QuantizeGivesTheReferencesBlocks) {
  Random random(1);
  for (const int32_t cols : {32, 96, 640, 4096}) {
    for (const int32_t rows : {1, 3, 40}) {
      const std::vector<float> x = random.Normals(int64_t{rows} * cols, 3.0f);
      std::vector<ActBlock> y(x.size() / kBlock);
      ASSERT_TRUE(ops().quantize(*machine_.stream, {x.data(), y.data(), rows, cols}));
      ExpectSameBlocks(Quantized(x, cols), y, Named("quantize"));
    }
  }
}

TEST_P(ElementwiseOn, QuantizeRoundsTiesToEvenAndKeepsZeroBlocks) {
  std::vector<float> x(96, 0.0f);
  const float values[] = {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, -127.0f};
  std::memcpy(x.data(), values, sizeof values);
  x[40] = 0x1p-101f;  // below the least that is kept
  std::vector<ActBlock> y(3);
  ASSERT_TRUE(ops().quantize(*machine_.stream, {x.data(), y.data(), 1, 96}));
  const int8_t expected[] = {127, 0, 2, 2, 0, -2, -2, -127};
  EXPECT_EQ(0, std::memcmp(y[0].values, expected, sizeof expected));
  EXPECT_EQ(y[0].scale, 1.0f);
  EXPECT_EQ(y[0].half_sums[0], 0);
  for (const int block : {1, 2}) {
    EXPECT_EQ(y[static_cast<size_t>(block)].scale, 0.0f);
    EXPECT_EQ(y[static_cast<size_t>(block)].values[8], 0);
  }
}

TEST_P(ElementwiseOn, QuantizeIsWithinHalfAStep) {
  Random random(2);
  const std::vector<float> x = random.Normals(64 * 32);
  std::vector<ActBlock> y(64);
  ASSERT_TRUE(ops().quantize(*machine_.stream, {x.data(), y.data(), 1, 64 * 32}));
  for (size_t i = 0; i < x.size(); ++i) {
    const ActBlock& block = y[i / 32];
    EXPECT_LE(std::fabs(block.scale * block.values[i % 32] - x[i]), 0.5001f * block.scale);
  }
}

TEST_P(ElementwiseOn, RmsNormAgreesOnOddSizesAndStrides) {
  Random random(3);
  for (const int32_t cols : kOddCols) {
    for (const int32_t rows : {1, 2, 37}) {
      const int64_t stride = cols + 3;
      const std::vector<float> x = random.Normals(rows * stride, 2.0f);
      const std::vector<float> weight = random.Normals(cols);
      std::vector<float> expected(static_cast<size_t>(rows * stride), 7.0f);
      std::vector<float> actual = expected;
      RmsNormArgs args{x.data(), weight.data(), expected.data(), nullptr, rows,
                       cols,     stride,        stride,          1e-6f};
      ASSERT_TRUE(RefOps().rms_norm(*machine_.stream, args));
      args.y = actual.data();
      ASSERT_TRUE(ops().rms_norm(*machine_.stream, args));
      ExpectAgrees(ops(), expected, actual, "rms_norm of " + std::to_string(cols));
    }
  }
}

TEST_P(ElementwiseOn, RmsNormInPlaceAndQuantisedGivesTheSameRow) {
  Random random(4);
  const int32_t cols = 96;
  const std::vector<float> x = random.Normals(5 * cols);
  const std::vector<float> weight = random.Normals(cols);
  std::vector<float> plain(x.size());
  std::vector<float> in_place = x;
  std::vector<ActBlock> q(x.size() / kBlock);
  RmsNormArgs args{x.data(), weight.data(), plain.data(), nullptr, 5, cols, cols, cols, 1e-5f};
  ASSERT_TRUE(ops().rms_norm(*machine_.stream, args));
  args.x = args.y = in_place.data();
  args.q = q.data();
  ASSERT_TRUE(ops().rms_norm(*machine_.stream, args));
  ExpectSameBits(plain, in_place, Named("in place"));
  ExpectSameBlocks(Quantized(plain, cols), q, Named("quantised"));
  std::vector<ActBlock> only(q.size());
  args.x = x.data();
  args.y = nullptr;
  args.q = only.data();
  ASSERT_TRUE(ops().rms_norm(*machine_.stream, args));
  ExpectSameBlocks(q, only, Named("quantised only"));
}

TEST_P(ElementwiseOn, AddAgrees) {
  Random random(5);
  for (const int64_t n : {1, 7, 8, 100, 40000}) {
    const std::vector<float> x = random.Normals(n);
    std::vector<float> expected = random.Normals(n);
    std::vector<float> actual = expected;
    ASSERT_TRUE(RefOps().add(*machine_.stream, {x.data(), expected.data(), n}));
    ASSERT_TRUE(ops().add(*machine_.stream, {x.data(), actual.data(), n}));
    ExpectSameBits(expected, actual, Named("add"));
  }
}

TEST_P(ElementwiseOn, GatedAgreesForBothActivations) {
  Random random(6);
  for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh}) {
    for (const int32_t cols : {1, 15, 33, 96, 1536, 2080}) {
      const int32_t rows = 3;
      const int64_t stride = cols + 5;
      const std::vector<float> gate = random.Normals(rows * stride, 4.0f);
      const std::vector<float> up = random.Normals(rows * stride);
      std::vector<float> expected(static_cast<size_t>(rows * cols));
      std::vector<float> actual(expected.size());
      std::vector<ActBlock> q(cols % kBlock == 0 ? expected.size() / kBlock : 0);
      GatedArgs args{gate.data(), up.data(), expected.data(), nullptr,
                     rows,        cols,      stride,          activation};
      ASSERT_TRUE(RefOps().gated(*machine_.stream, args));
      args.y = actual.data();
      args.q = q.empty() ? nullptr : q.data();
      ASSERT_TRUE(ops().gated(*machine_.stream, args));
      ExpectAgrees(ops(), expected, actual, "gated of " + std::to_string(cols));
      if (!q.empty()) ExpectSameBlocks(Quantized(actual, cols), q, Named("gated quantised"));
    }
  }
}

TEST_P(ElementwiseOn, ActivationsAreCloseToTheirDefinitions) {
  std::vector<float> x;
  for (float value = -100.0f; value <= 100.0f; value += 0.0137f) x.push_back(value);
  const std::vector<float> ones(x.size(), 1.0f);
  const auto cols = static_cast<int32_t>(x.size());
  std::vector<float> y(x.size());
  for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh}) {
    ASSERT_TRUE(ops().gated(*machine_.stream,
                            {x.data(), ones.data(), y.data(), nullptr, 1, cols, cols, activation}));
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = x[i];
      // 0.5 v (1 + tanh(u)) = v / (1 + e^-2u), without the cancellation.
      const double u = activation == Activation::kSilu
                           ? 0.5 * v
                           : 0.7978845608028654 * (v + 0.044715 * v * v * v);
      const double expected = v / (1 + std::exp(-2 * u));
      // exp within 2 ulp, a sum, a quotient; in the gelu its argument is rounded too, up to 88 *
      // 2^-23.
      const double relative = activation == Activation::kSilu ? 0x1p-20 : 88 * 0x1p-22;
      ASSERT_NEAR(y[i], expected, std::fabs(expected) * relative + 1e-30) << "at " << v;
    }
  }
}

TEST_P(ElementwiseOn, SoftcapAgreesAndIsClose) {
  Random random(7);
  for (const int64_t n : {1, 9, 300, 20000}) {
    const std::vector<float> x = random.Normals(n, 40.0f);
    std::vector<float> expected = x;
    std::vector<float> actual = x;
    ASSERT_TRUE(RefOps().softcap(*machine_.stream, {expected.data(), n, 30.0f}));
    ASSERT_TRUE(ops().softcap(*machine_.stream, {actual.data(), n, 30.0f}));
    ExpectAgrees(ops(), expected, actual, "softcap");
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_NEAR(actual[i], 30.0 * std::tanh(x[i] / 30.0), 30.0 * 2e-7) << "at " << x[i];
  }
}

TEST_P(ElementwiseOn, RopeAgreesForBothPairings) {
  Random random(8);
  for (const RopePairs pairs : {RopePairs::kAdjacent, RopePairs::kHalves}) {
    for (const int32_t head_dim : {32, 64, 80, 128}) {
      for (const int32_t rotary : {0, 2, 20, 32}) {
        const int32_t tokens = 70;
        const int32_t heads = 3;
        const int64_t stride = heads * head_dim + 4;
        std::vector<float> expected = random.Normals(tokens * stride);
        std::vector<float> actual = expected;
        const std::vector<float> cos = random.Normals(tokens * rotary / 2 + 1);
        const std::vector<float> sin = random.Normals(tokens * rotary / 2 + 1);
        RopeArgs args{expected.data(), cos.data(), sin.data(), tokens, heads,
                      head_dim,        rotary,     stride,     pairs};
        ASSERT_TRUE(RefOps().rope(*machine_.stream, args));
        args.x = actual.data();
        ASSERT_TRUE(ops().rope(*machine_.stream, args));
        ExpectAgrees(ops(), expected, actual, "rope");
      }
    }
  }
}

TEST_P(ElementwiseOn, DequantizeRowsScalesWholeRows) {
  Random random(9);
  for (const DType dtype : {DType::kQ4_K, DType::kQ8_0, DType::kBF16}) {
    const auto rows = RandomRows(random, dtype, 5, 256);
    std::vector<float> expected(5 * 256);
    std::vector<float> actual(expected.size());
    ASSERT_TRUE(RefOps().dequantize_rows(*machine_.stream,
                                         {rows.data(), dtype, expected.data(), 5, 256, 25.3f}));
    ASSERT_TRUE(ops().dequantize_rows(*machine_.stream,
                                      {rows.data(), dtype, actual.data(), 5, 256, 25.3f}));
    ExpectSameBits(expected, actual, Named("dequantize_rows"));
  }
}

TEST_P(ElementwiseOn, ColumnsThatAreNotWholeBlocksAreRefused) {
  std::vector<float> x(33);
  std::vector<ActBlock> y(2);
  EXPECT_EQ(ops().quantize(*machine_.stream, {x.data(), y.data(), 1, 33}).error().code,
            Code::kUnsupported);
}

INSTANTIATE_TEST_SUITE_P(Tables, ElementwiseOn, testing::ValuesIn(TestedOps()),
                         [](const auto& table) { return std::string(table.param->name); });

TEST(VectorMath, ExpIsWithinTwoUlp) {
  for (float x = -87.0f; x < 88.0f; x += 0.00317f) {
    const double exact = std::exp(static_cast<double>(x));
    ASSERT_NEAR(Exp<ScalarFma>(x), exact, exact * 0x1p-22) << "at " << x;
  }
}

TEST(VectorMath, ExpOfNanIsNan) { EXPECT_TRUE(std::isnan(Exp<ScalarFma>(NAN))); }

}  // namespace
}  // namespace mirage::kernels
