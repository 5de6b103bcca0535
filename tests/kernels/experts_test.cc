// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <set>

#include "kernels/ref/ref_ops.h"
#include "tests/kernels/kernel_test.h"

namespace mirage::kernels {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class ExpertsOn : public testing::TestWithParam<const Ops*> {
 protected:
  const Ops& ops() const { return *GetParam(); }
  Machine machine_{2};
};

struct Choice {
  std::vector<int32_t> chosen;
  std::vector<float> weights;
};

Choice Route(const Ops& ops, Machine& machine, const std::vector<float>& logits, int32_t experts,
             int32_t used, bool normalize) {
  const auto rows = static_cast<int32_t>(logits.size()) / experts;
  Choice choice{std::vector<int32_t>(static_cast<size_t>(rows * used), -1),
                std::vector<float>(static_cast<size_t>(rows * used), NAN)};
  EXPECT_TRUE(ops.route(*machine.stream, {logits.data(), choice.chosen.data(),
                                          choice.weights.data(), rows, experts, used, normalize}));
  return choice;
}

TEST_P(ExpertsOn, RouteGivesTheReferencesChoiceAndWeights) {
  Random random(30);
  for (const auto& [experts, used] :
       {std::pair{1, 1}, {2, 1}, {3, 3}, {7, 3}, {8, 2}, {33, 5}, {128, 8}})
    for (const int32_t rows : {1, 3, 130})
      for (const bool normalize : {false, true}) {
        std::vector<float> logits = random.Normals(int64_t{rows} * experts, 3.0f);
        if (experts > 2) logits[1] = logits[2];  // a tie
        const Choice expected = Route(RefOps(), machine_, logits, experts, used, normalize);
        const Choice actual = Route(ops(), machine_, logits, experts, used, normalize);
        EXPECT_EQ(expected.chosen, actual.chosen);
        ExpectSameBits(expected.weights, actual.weights, std::string(ops().name) + " route");
      }
}

// The definition in double precision, for the reference too.
TEST_P(ExpertsOn, RouteWeighsTheLargestByTheSoftmaxOverAll) {
  Random random(31);
  constexpr int32_t kExperts = 11;
  constexpr int32_t kUsed = 4;
  const std::vector<float> logits = random.Normals(kExperts, 2.0f);
  std::vector<int32_t> order(kExperts);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  const auto exponential = [&](int32_t e) {
    return std::exp(static_cast<double>(logits[static_cast<size_t>(e)]));
  };
  double all = 0;
  for (int32_t e = 0; e < kExperts; ++e) all += exponential(e);
  double of_chosen = 0;
  for (int32_t i = 0; i < kUsed; ++i) of_chosen += exponential(order[static_cast<size_t>(i)]);
  for (const Ops* table : {&ops(), &RefOps()})
    for (const bool normalize : {false, true}) {
      const Choice choice = Route(*table, machine_, logits, kExperts, kUsed, normalize);
      for (size_t i = 0; i < kUsed; ++i) {
        EXPECT_EQ(choice.chosen[i], order[i]);
        EXPECT_NEAR(choice.weights[i], exponential(order[i]) / (normalize ? of_chosen : all), 1e-6);
      }
    }
}

TEST_P(ExpertsOn, RouteTakesTheLowerOfEqualsAndDifferentOnesWhateverTheLogits) {
  EXPECT_EQ(Route(ops(), machine_, {1, 2, 2, 0, 2}, 5, 2, true).chosen,
            (std::vector<int32_t>{1, 2}));
  for (const std::vector<float>& logits : {std::vector<float>(6, kNan),
                                           {kNan, 1, kNan, 2, 0, kNan},
                                           {kInfinity, kInfinity, 0, 1, kNan, -kInfinity},
                                           std::vector<float>(6, -kInfinity)}) {
    const Choice choice = Route(ops(), machine_, logits, 6, 4, true);
    EXPECT_EQ(std::set<int32_t>(choice.chosen.begin(), choice.chosen.end()).size(), 4u);
    for (const int32_t expert : choice.chosen) EXPECT_TRUE(expert >= 0 && expert < 6);
  }
}

TEST_P(ExpertsOn, RouteOfMoreThanThereAreIsRefused) {
  std::vector<float> logits(3);
  std::vector<int32_t> chosen(4);
  std::vector<float> weights(4);
  for (const int32_t used : {0, 4})
    EXPECT_FALSE(ops().route(*machine_.stream,
                             {logits.data(), chosen.data(), weights.data(), 1, 3, used, true}));
}

TEST_P(ExpertsOn, GatherCopiesTheRowsAskedForInTheirOrder) {
  Random random(32);
  for (const int32_t cols : {32, 96, 2048}) {
    const std::vector<float> x = random.Normals(int64_t{9} * cols);
    const std::vector<ActBlock> q8 = Quantized(x, cols);
    const std::vector<int32_t> rows = {8, 0, 3, 3, 7};
    std::vector<float> y(rows.size() * static_cast<size_t>(cols), NAN);
    std::vector<ActBlock> q(y.size() / kBlock);
    ASSERT_TRUE(ops().gather_rows(
        *machine_.stream, {{x.data(), q8.data()}, rows.data(), 5, cols, y.data(), q.data()}));
    std::vector<float> expected;
    std::vector<ActBlock> expected_q;
    for (const int32_t row : rows) {
      expected.insert(expected.end(), x.begin() + row * cols, x.begin() + (row + 1) * cols);
      const int32_t blocks = cols / kBlock;
      expected_q.insert(expected_q.end(), q8.begin() + row * blocks,
                        q8.begin() + (row + 1) * blocks);
    }
    ExpectSameBits(expected, y, std::string(ops().name) + " gather_rows");
    EXPECT_EQ(0, std::memcmp(expected_q.data(), q.data(), q.size() * sizeof(ActBlock)));
  }
  // Floats alone are of any width.
  const std::vector<float> x = random.Normals(21);
  const int32_t row = 2;
  std::vector<float> y(7);
  ASSERT_TRUE(
      ops().gather_rows(*machine_.stream, {{x.data(), nullptr}, &row, 1, 7, y.data(), nullptr}));
  ExpectSameBits({x.begin() + 14, x.end()}, y, "gather_rows of floats");
}

TEST_P(ExpertsOn, AddRowsIsOneChainPerRowInTheOrderOfWhatIsAdded) {
  Random random(33);
  for (const int32_t cols : {1, 7, 16, 33, 64, 65, 576, 2048}) {
    for (const int32_t count : {1, 5, 60}) {
      constexpr int32_t kRows = 7;
      const std::vector<float> x = random.Normals(int64_t{count} * cols);
      const std::vector<float> scales = random.Normals(count);
      std::vector<int32_t> rows;
      for (int32_t i = 0; i < count; ++i)
        rows.push_back(static_cast<int32_t>(random.Int(0, kRows - 1)));
      const std::vector<float> before = random.Normals(int64_t{kRows} * cols);
      std::vector<float> expected = before;
      std::vector<float> actual = before;
      AddRowsArgs args{x.data(), rows.data(), scales.data(), count, cols, expected.data()};
      ASSERT_TRUE(RefOps().add_rows(*machine_.stream, args));
      args.y = actual.data();
      ASSERT_TRUE(ops().add_rows(*machine_.stream, args));
      const std::string what = std::string(ops().name) + " add_rows of " + std::to_string(cols);
      if (IsExact(ops()))
        ExpectSameBits(expected, actual, what);
      else
        ExpectNear(expected, actual, 1e-4f, what);

      // Of one row alone: what the others add does not matter.
      std::vector<float> row_x;
      std::vector<float> row_scales;
      for (size_t i = 0; i < rows.size(); ++i) {
        if (rows[i] != 3) continue;
        const auto begin = x.begin() + static_cast<int64_t>(i) * cols;
        row_x.insert(row_x.end(), begin, begin + cols);
        row_scales.push_back(scales[i]);
      }
      const std::vector<int32_t> zeros(row_scales.size(), 0);
      std::vector<float> alone(before.begin() + 3 * cols, before.begin() + 4 * cols);
      ASSERT_TRUE(ops().add_rows(*machine_.stream,
                                 {row_x.data(), zeros.data(), row_scales.data(),
                                  static_cast<int32_t>(zeros.size()), cols, alone.data()}));
      ExpectSameBits({actual.begin() + 3 * cols, actual.begin() + 4 * cols}, alone,
                     what + ", a row alone");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, ExpertsOn, testing::ValuesIn(TestedOps()),
                         [](const auto& table) { return std::string(table.param->name); });

}  // namespace
}  // namespace mirage::kernels
