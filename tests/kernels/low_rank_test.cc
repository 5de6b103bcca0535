// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/ref/ref_ops.h"
#include "tests/kernels/kernel_test.h"

namespace mirage::kernels {
namespace {

// An update of one weight, and what it is added to.
struct Update {
  DType a_type;
  DType b_type;
  int32_t rank;
  int32_t rows;
  float scale;
  std::vector<std::byte> a;
  std::vector<std::byte> b;
  std::vector<float> y;  // [tokens, rows]

  Update(Random& random, DType type_of_a, DType type_of_b, int32_t update_rank, int32_t row_count,
         int32_t cols, int32_t tokens)
      : a_type(type_of_a), b_type(type_of_b), rank(update_rank), rows(row_count) {
    const int32_t padded = (rank + 7) / 8 * 8;
    a = Packed(a_type, padded, cols, RandomRows(random, a_type, padded, cols));
    b = Packed(b_type, rows, rank, RandomRows(random, b_type, rows, rank));
    y = random.Normals(int64_t{tokens} * rows);
    scale = 0.1f + random.Normal();
  }
};

struct Problem {
  int32_t cols;
  int32_t tokens;
  std::vector<float> x;
  std::vector<Update> updates;

  Problem(Random& random, int32_t col_count, int32_t token_count)
      : cols(col_count), tokens(token_count), x(random.Normals(int64_t{tokens} * cols)) {}

  // y of every update, one after the other.
  [[nodiscard]] std::vector<float> Run(const Ops& ops, int threads = 1) const {
    return RunRows(ops, 0, tokens, threads);
  }
  // Of rows [row, row + count) alone.
  [[nodiscard]] std::vector<float> RunRows(const Ops& ops, int32_t row, int32_t count,
                                           int threads = 1) const {
    Machine machine(threads);
    LowRankArgs args{};
    args.x = x.data() + int64_t{row} * cols;
    args.tokens = count;
    args.cols = cols;
    std::vector<std::vector<float>> y;
    for (const Update& update : updates)
      y.emplace_back(update.y.begin() + row * update.rows,
                     update.y.begin() + (row + count) * update.rows);
    for (const Update& update : updates) {
      const auto index = static_cast<size_t>(args.output_count++);
      args.outputs[index] = {update.a_type, update.b_type, update.a.data(),
                             update.b.data(), update.rank, update.rows,
                             update.scale, y[index].data(), update.rows};
    }
    std::vector<float> scratch(
        static_cast<size_t>(LowRankScratchCols(args)) * static_cast<size_t>(count), NAN);
    args.t = scratch.data();
    EXPECT_TRUE(ops.low_rank(*machine.stream, args));
    std::vector<float> all;
    for (const auto& one : y) all.insert(all.end(), one.begin(), one.end());
    return all;
  }
};

// As for matmul: the bits of the reference, or a rounding more for each step of two chains.
void ExpectAgrees(const Ops& ops, const Problem& problem, const std::string& what) {
  const std::vector<float> expected = problem.Run(RefOps());
  const std::vector<float> actual = problem.Run(ops);
  if (IsExact(ops)) {
    ExpectSameBits(expected, actual, std::string(ops.name) + what);
    return;
  }
  float largest = 0.0f;
  for (const float value : expected) largest = std::max(largest, std::fabs(value));
  ExpectNear(expected, actual, (largest + 64.0f) * static_cast<float>(problem.cols) * 0x1p-22f,
             std::string(ops.name) + what);
}

class LowRankOn : public testing::TestWithParam<const Ops*> {};

TEST_P(LowRankOn, AgreesWithTheReferenceOnOddSizes) {
  Random random(40);
  for (const DType dtype : kFloatTypes)
    for (const int32_t cols : {1, 33, 576})
      for (const int32_t rows : {1, 8, 17, 136})
        for (const int32_t rank : {1, 7, 8, 16, 20})
          for (const int32_t tokens : {1, 3, 9, 70}) {
            Problem problem(random, cols, tokens);
            problem.updates.emplace_back(random, dtype, DType::kF32, rank, rows, cols, tokens);
            ExpectAgrees(*GetParam(), problem,
                         " " + std::string(tensor::Name(dtype)) + " rank " + std::to_string(rank) +
                             " [" + std::to_string(rows) + ", " + std::to_string(cols) + "] x " +
                             std::to_string(tokens));
          }
}

// Three weights that share an input, of unlike ranks and types.
Problem Mixed(Random& random, int32_t tokens) {
  Problem problem(random, 200, tokens);
  problem.updates.emplace_back(random, DType::kF32, DType::kF16, 5, 331, 200, tokens);
  problem.updates.emplace_back(random, DType::kF16, DType::kBF16, 16, 64, 200, tokens);
  problem.updates.emplace_back(random, DType::kBF16, DType::kF32, 33, 70, 200, tokens);
  return problem;
}

TEST_P(LowRankOn, WeightsThatShareAnInputMayDifferInTypeRankAndRows) {
  Random random(41);
  ExpectAgrees(*GetParam(), Mixed(random, 6), " mixed");
}

TEST_P(LowRankOn, ThreadsDoNotChangeABit) {
  Random random(42);
  for (const int32_t tokens : {1, 5, 100}) {
    const Problem problem = Mixed(random, tokens);
    const std::vector<float> one = problem.Run(*GetParam(), 1);
    for (const int threads : {2, 3, 5})
      ExpectSameBits(one, problem.Run(*GetParam(), threads), GetParam()->name);
  }
}

TEST_P(LowRankOn, ARowAloneHasTheBitsItHasInABatch) {
  Random random(43);
  const Problem all = Mixed(random, 45);
  const std::vector<float> together = all.Run(*GetParam());
  for (int32_t m = 0; m < all.tokens; ++m) {
    const std::vector<float> alone = all.RunRows(*GetParam(), m, 1);
    std::vector<float> of_batch;
    int64_t begin = 0;
    for (const Update& update : all.updates) {
      const auto row = together.begin() + begin + m * update.rows;
      of_batch.insert(of_batch.end(), row, row + update.rows);
      begin += int64_t{all.tokens} * update.rows;
    }
    ExpectSameBits(of_batch, alone, std::string(GetParam()->name) + " row " + std::to_string(m));
  }
}

TEST_P(LowRankOn, BadArgumentsAreRefusedByName) {
  Random random(44);
  const Update update(random, DType::kF32, DType::kF32, 8, 8, 32, 1);
  Machine machine(1);
  std::vector<float> x(32);
  std::vector<float> y(8);
  std::vector<float> t(8);
  LowRankArgs args{x.data(), 1, 32, 1, {}, t.data()};
  args.outputs[0] = {update.a_type, update.b_type, update.a.data(), update.b.data(), 8, 8,
                     1.0f,          y.data(),      8};
  const auto code = [&](const LowRankArgs& bad) {
    const Status status = GetParam()->low_rank(*machine.stream, bad);
    return status ? Code::kOk : status.error().code;
  };
  EXPECT_EQ(code(args), Code::kOk);
  LowRankArgs bad = args;
  bad.outputs[0].a_type = DType::kQ8_0;
  EXPECT_EQ(code(bad), Code::kUnsupported);
  bad = args;
  bad.outputs[0].b_type = DType::kQ4_0;
  EXPECT_EQ(code(bad), Code::kUnsupported);
  bad = args;
  bad.outputs[0].rank = 0;
  EXPECT_EQ(code(bad), Code::kInvalidArgument);
  bad = args;
  bad.output_count = kMaxOutputs + 1;
  EXPECT_EQ(code(bad), Code::kInvalidArgument);
  bad = args;
  bad.t = nullptr;
  EXPECT_EQ(code(bad), Code::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Tables, LowRankOn, testing::ValuesIn(TestedOps()),
                         [](const auto& table) { return std::string(table.param->name); });

}  // namespace
}  // namespace mirage::kernels
