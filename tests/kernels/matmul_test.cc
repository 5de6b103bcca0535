// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/integer_block.h"
#include "kernels/ref/ref_ops.h"
#include "tests/kernels/kernel_test.h"

namespace mirage::kernels {
namespace {

// A weight, activations for it and a place for the result.
struct Problem {
  DType dtype;
  int32_t rows;
  int32_t cols;
  int32_t tokens;
  std::vector<std::byte> plain;
  std::vector<std::byte> packed;
  std::vector<float> x;
  std::vector<ActBlock> q8;
  std::vector<float> bias;

  Problem(Random& random, DType type, int32_t row_count, int32_t col_count, int32_t token_count)
      : dtype(type), rows(row_count), cols(col_count), tokens(token_count) {
    plain = RandomRows(random, dtype, rows, cols);
    packed = Packed(dtype, rows, cols, plain);
    x = random.Normals(int64_t{tokens} * cols);
    if (ReadsQuantized(dtype)) q8 = Quantized(x, cols);
  }

  [[nodiscard]] MatMulOutput Output(float* y) const {
    MatMulOutput output{};
    output.weight = {dtype, cols, 1, {{packed.data(), 0, rows}}};
    output.bias = bias.empty() ? nullptr : bias.data();
    output.y = y;
    output.y_stride = rows;
    return output;
  }
  [[nodiscard]] std::string Name(const Ops& ops) const {
    return std::string(ops.name) + " " + std::string(tensor::Name(dtype)) + " [" +
           std::to_string(rows) + ", " + std::to_string(cols) + "] x " + std::to_string(tokens);
  }
  [[nodiscard]] std::vector<float> Run(const Ops& ops, int threads = 1,
                                       platform::TaskCut cut = {}) const {
    Machine machine(threads, cut);
    std::vector<float> y(static_cast<size_t>(rows) * static_cast<size_t>(tokens), NAN);
    MatMulArgs args{};
    args.x = {x.data(), q8.data()};
    args.tokens = tokens;
    args.output_count = 1;
    args.outputs[0] = Output(y.data());
    EXPECT_TRUE(ops.matmul(*machine.stream, args));
    return y;
  }
};

// The bits of the reference where the table has a fused multiply-add. Without it each of the (at
// most 2 cols / 32, or cols) steps of a chain rounds once more: half an ulp of a partial sum, which
// is below the sum of magnitudes.
void ExpectAgrees(const Ops& ops, const Problem& problem) {
  const std::vector<float> expected = problem.Run(RefOps());
  const std::vector<float> actual = problem.Run(ops);
  if (IsExact(ops)) {
    ExpectSameBits(expected, actual, problem.Name(ops));
    return;
  }
  float largest = 0.0f;
  for (const float value : expected) largest = std::max(largest, std::fabs(value));
  const auto steps = static_cast<float>(problem.cols);
  ExpectNear(expected, actual, (largest + 64.0f) * steps * 0x1p-23f, problem.Name(ops));
}

class MatMulOn : public testing::TestWithParam<const Ops*> {};

TEST_P(MatMulOn, QuantisedTypesAgreeWithTheReferenceOnOddSizes) {
  Random random(10);
  for (const DType dtype : kQuantTypes) {
    const bool super = tensor::Info(dtype).block_elements == 256;
    for (const int32_t cols : super ? std::vector<int32_t>{256, 768, 2048}
                                    : std::vector<int32_t>{32, 64, 96, 256, 576, 640})
      for (const int32_t rows : {1, 7, 8, 15, 16, 24, 41, 70})
        for (const int32_t tokens : {1, 3, 17})
          ExpectAgrees(*GetParam(), Problem(random, dtype, rows, cols, tokens));
  }
}

TEST_P(MatMulOn, QuantisedTypesAgreeWithTheReferenceForManyTokens) {
  Random random(20);
  for (const DType dtype : kQuantTypes) {
    const bool super = tensor::Info(dtype).block_elements == 256;
    for (const int32_t cols :
         super ? std::vector<int32_t>{256, 512} : std::vector<int32_t>{32, 96, 288})
      for (const int32_t rows : {8, 16, 24, 41})
        for (const int32_t tokens : {15, 16, 31, 32, 150})
          ExpectAgrees(*GetParam(), Problem(random, dtype, rows, cols, tokens));
  }
}

TEST_P(MatMulOn, FloatTypesAgreeWithTheReferenceOnOddSizes) {
  Random random(11);
  for (const DType dtype : kFloatTypes)
    for (const int32_t cols : {1, 7, 32, 100, 576})
      for (const int32_t rows : {1, 8, 17, 64, 70, 136})
        for (const int32_t tokens : {1, 3, 4, 9})
          ExpectAgrees(*GetParam(), Problem(random, dtype, rows, cols, tokens));
}

TEST_P(MatMulOn, EveryBatchSizeGivesTheBitsOfOneToken) {
  Random random(12);
  for (const DType dtype : {DType::kQ4_1, DType::kQ8_0, DType::kQ6_K, DType::kQ2_K, DType::kF16}) {
    const Problem all(random, dtype, 40, 512, 20);
    const std::vector<float> alone = [&] {
      std::vector<float> y;
      for (int32_t m = 0; m < all.tokens; ++m) {
        Problem one = all;
        one.tokens = 1;
        one.x.assign(all.x.begin() + m * all.cols, all.x.begin() + (m + 1) * all.cols);
        if (ReadsQuantized(dtype))
          one.q8.assign(all.q8.begin() + m * all.cols / kBlock,
                        all.q8.begin() + (m + 1) * all.cols / kBlock);
        const std::vector<float> row = one.Run(*GetParam());
        y.insert(y.end(), row.begin(), row.end());
      }
      return y;
    }();
    for (int32_t tokens = 1; tokens <= all.tokens; ++tokens) {
      Problem some = all;
      some.tokens = tokens;
      ExpectSameBits({alone.begin(), alone.begin() + tokens * all.rows}, some.Run(*GetParam()),
                     some.Name(*GetParam()));
    }
  }
}

TEST_P(MatMulOn, ThreadsDoNotChangeABit) {
  Random random(13);
  for (const DType dtype : {DType::kQ4_0, DType::kQ5_K, DType::kF32}) {
    const Problem problem(random, dtype, 331, 256, 9);
    const std::vector<float> one = problem.Run(*GetParam(), 1);
    for (const int threads : {2, 3, 5})
      ExpectSameBits(one, problem.Run(*GetParam(), threads), problem.Name(*GetParam()));
  }
}

TEST_P(MatMulOn, CutsAndPanelsDoNotChangeABit) {
  Random random(15);
  for (const DType dtype : {DType::kQ4_K, DType::kQ8_0, DType::kF16}) {
    const Problem problem(random, dtype, 331, 256, 70);
    const std::vector<float> expected = problem.Run(*GetParam(), 1);
    for (const int tasks_per_thread : {1, 7, 64})
      for (const int64_t panel_bytes : {1, 5000, 1 << 24})
        ExpectSameBits(expected, problem.Run(*GetParam(), 2, {tasks_per_thread, panel_bytes}),
                       problem.Name(*GetParam()));
  }
}

TEST_P(MatMulOn, SegmentsDoNotChangeABit) {
  Random random(14);
  for (const DType dtype : {DType::kQ4_1, DType::kQ3_K, DType::kBF16}) {
    const Problem whole(random, dtype, 100, 256, 3);
    const std::vector<float> expected = whole.Run(*GetParam());
    const int32_t cuts[] = {0, 1, 9, 24, 40, 57, 100};
    const auto row_bytes = static_cast<std::ptrdiff_t>(*tensor::RowBytes(dtype, whole.cols));
    std::vector<std::vector<std::byte>> pieces;
    Machine machine(2);
    std::vector<float> y(expected.size(), NAN);
    MatMulArgs args{};
    args.x = {whole.x.data(), whole.q8.data()};
    args.tokens = whole.tokens;
    args.output_count = 1;
    args.outputs[0] = whole.Output(y.data());
    WeightView& weight = args.outputs[0].weight;
    weight.segment_count = 6;
    for (int i = 0; i < weight.segment_count; ++i) {
      const int32_t rows = cuts[i + 1] - cuts[i];
      pieces.push_back(Packed(dtype, rows, whole.cols,
                              {whole.plain.begin() + cuts[i] * row_bytes,
                               whole.plain.begin() + cuts[i + 1] * row_bytes}));
      weight.segments[i] = {pieces.back().data(), cuts[i], rows};
    }
    ASSERT_TRUE(GetParam()->matmul(*machine.stream, args));
    ExpectSameBits(expected, y, whole.Name(*GetParam()));
  }
}

TEST_P(MatMulOn, AbsentRowsAreLeftAlone) {
  Random random(15);
  const Problem problem(random, DType::kQ8_0, 16, 64, 2);
  Machine machine(1);
  std::vector<float> y(2 * 40, -5.0f);
  MatMulArgs args{};
  args.x = {nullptr, problem.q8.data()};
  args.tokens = 2;
  args.output_count = 1;
  args.outputs[0] = problem.Output(y.data());
  args.outputs[0].y_stride = 40;
  args.outputs[0].weight.segments[0].row0 = 20;
  ASSERT_TRUE(GetParam()->matmul(*machine.stream, args));
  const std::vector<float> expected = problem.Run(*GetParam());
  for (int m = 0; m < 2; ++m)
    for (int row = 0; row < 40; ++row)
      EXPECT_EQ(y[static_cast<size_t>(m * 40 + row)],
                row >= 20 && row < 36 ? expected[static_cast<size_t>(m * 16 + row - 20)] : -5.0f);
}

TEST_P(MatMulOn, OutputsThatShareAnInputMayDifferInTypeAndRows) {
  Random random(16);
  Problem q(random, DType::kQ5_0, 72, 256, 5);
  Problem k(random, DType::kQ8_0, 24, 256, 5);
  Problem v(random, DType::kF16, 17, 256, 5);
  k.x = v.x = q.x;
  k.q8 = q.q8;
  q.bias = random.Normals(72);
  v.bias = random.Normals(17);
  Machine machine(2);
  std::vector<float> y[3];
  MatMulArgs args{};
  args.x = {q.x.data(), q.q8.data()};
  args.tokens = 5;
  args.output_count = 3;
  const Problem* problems[] = {&q, &k, &v};
  for (int i = 0; i < 3; ++i) {
    y[i].assign(static_cast<size_t>(problems[i]->rows) * 5, NAN);
    args.outputs[i] = problems[i]->Output(y[i].data());
  }
  ASSERT_TRUE(GetParam()->matmul(*machine.stream, args));
  for (int i = 0; i < 3; ++i)
    ExpectSameBits(problems[i]->Run(*GetParam()), y[i], problems[i]->Name(*GetParam()));
}

TEST_P(MatMulOn, MxfpScalesOfEveryExponentAgree) {
  Random random(17);
  Problem problem(random, DType::kMXFP4, 256, 32, 17);
  for (size_t row = 0; row < 256; ++row) problem.plain[row * 17] = static_cast<std::byte>(row);
  problem.packed = Packed(DType::kMXFP4, 256, 32, problem.plain);
  for (ActBlock& block : problem.q8) block.scale = 0x1p-6f;  // keeps the largest finite
  ExpectSameBits(problem.Run(RefOps()), problem.Run(*GetParam()), problem.Name(*GetParam()));
}

TEST_P(MatMulOn, ExtremeIntegersDoNotOverflow) {
  Random random(18);
  for (const DType dtype : kQuantTypes) {
    Problem problem(random, dtype, 16, 256, 18);
    // All quants and integer scales at one end of their ranges, the activations at another.
    for (const int fill : {0x00, 0xFF, 0x80, 0x7F}) {
      auto extreme = problem;
      for (size_t i = 0; i < extreme.plain.size(); ++i)
        extreme.plain[i] = static_cast<std::byte>(fill);
      // Floats of the blocks from the random rows.
      Random again(18);
      const auto rows = RandomRows(again, dtype, 16, 256);
      const size_t block_bytes = tensor::Info(dtype).block_bytes;
      for (size_t block = 0; block < rows.size(); block += block_bytes) {
        const size_t at = dtype == DType::kQ6_K   ? 208
                          : dtype == DType::kQ3_K ? 108
                          : dtype == DType::kQ2_K ? 80
                                                  : 0;
        extreme.plain[block + at] = rows[block + at];
        if (dtype == DType::kMXFP4) continue;
        for (size_t i = 1; i < (MinimumOf(dtype) == Minimum::kNone ? 2u : 4u); ++i)
          extreme.plain[block + at + i] = rows[block + at + i];
      }
      extreme.packed = Packed(dtype, 16, 256, extreme.plain);
      for (const int value : {127, -127}) {
        for (ActBlock& block : extreme.q8) {
          for (int8_t& v : block.values) v = static_cast<int8_t>(value);
          block.half_sums[0] = block.half_sums[1] = static_cast<int16_t>(16 * value);
          block.sum = 32 * value;
          block.scaled_sum = block.scale * static_cast<float>(block.sum);
        }
        ExpectAgrees(*GetParam(), extreme);
      }
    }
  }
}

TEST_P(MatMulOn, BadArgumentsAreRefusedByName) {
  Random random(19);
  const Problem problem(random, DType::kQ8_0, 8, 64, 1);
  Machine machine(1);
  std::vector<float> y(8);
  MatMulArgs args{};
  args.x = {nullptr, problem.q8.data()};
  args.tokens = 1;
  args.output_count = 1;
  args.outputs[0] = problem.Output(y.data());

  MatMulArgs bad = args;
  bad.outputs[0].weight.dtype = DType::kIQ2_S;
  EXPECT_EQ(GetParam()->matmul(*machine.stream, bad).error().code, Code::kUnsupported);
  bad = args;
  bad.x.q8 = nullptr;
  EXPECT_EQ(GetParam()->matmul(*machine.stream, bad).error().code, Code::kInvalidArgument);
  bad = args;
  bad.outputs[0].weight.segment_count = kMaxSegments + 1;
  EXPECT_EQ(GetParam()->matmul(*machine.stream, bad).error().code, Code::kInvalidArgument);
  bad = args;
  bad.output_count = kMaxOutputs + 1;
  EXPECT_EQ(GetParam()->matmul(*machine.stream, bad).error().code, Code::kInvalidArgument);
}

// Of unlike types, sizes and numbers of tokens, none too, as experts of a mixture have them.
TEST_P(MatMulOn, SeveralProductsInOneGoAreThoseOfEachAlone) {
  Random random(40);
  for (const int32_t count : {0, 1, 2, 7, kMaxProducts}) {
    constexpr int32_t kTokens[] = {1, 17, 0, 3, 150};
    std::vector<Problem> problems;
    for (int32_t i = 0; i < count; ++i) {
      constexpr DType kTypes[] = {DType::kQ4_0, DType::kF32, DType::kQ4_K};
      constexpr int32_t kRows[] = {1, 8, 41, 264};
      problems.emplace_back(random, kTypes[i % 3], kRows[i % 4], i % 3 == 2 ? 512 : 96,
                            std::max(kTokens[i % 5], 1));
    }
    for (const int threads : {1, 3}) {
      Machine machine(threads);
      std::vector<std::vector<float>> results;
      MatMulEachArgs args{};
      args.count = count;
      for (int32_t i = 0; i < count; ++i) {
        const Problem& problem = problems[static_cast<size_t>(i)];
        results.emplace_back(
            static_cast<size_t>(problem.rows) * static_cast<size_t>(problem.tokens), -1.0f);
        MatMulArgs& product = args.products[i];
        product.x = {problem.x.data(), problem.q8.data()};
        product.tokens = kTokens[i % 5];
        product.output_count = 1;
        product.outputs[0] = problem.Output(results.back().data());
      }
      ASSERT_TRUE(GetParam()->matmul_each(*machine.stream, args));
      for (size_t i = 0; i < results.size(); ++i) {
        const std::vector<float> untouched(results[i].size(), -1.0f);
        ExpectSameBits(args.products[i].tokens > 0 ? problems[i].Run(*GetParam()) : untouched,
                       results[i],
                       problems[i].Name(*GetParam()) + " among " + std::to_string(count));
      }
    }
  }
  Machine machine(1);
  MatMulEachArgs args{};
  for (const int32_t count : {-1, kMaxProducts + 1}) {
    args.count = count;
    EXPECT_EQ(GetParam()->matmul_each(*machine.stream, args).error().code, Code::kInvalidArgument);
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, MatMulOn, testing::ValuesIn(TestedOps()),
                         [](const auto& table) { return std::string(table.param->name); });

}  // namespace
}  // namespace mirage::kernels
