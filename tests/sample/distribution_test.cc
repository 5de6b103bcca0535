// SPDX-License-Identifier: Apache-2.0

// The draws against the distribution the parameters state, by Pearson's chi-square over fixed
// seeds: 20000 draws, and the 99.99% quantile as the bar. The bar is far above what a right sampler
// gives for these seeds and far below what a wrong temperature, order or mask gives (each is
// tried).

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include "sample/draw.h"
#include "sample/sampler.h"

namespace mirage::sample {
namespace {

constexpr int kDraws = 20000;
const std::vector<float> kLogits = {1.5f, -0.5f, 3.0f, 2.5f, 0.0f, 2.9f, -4.0f, 1.0f};

Params Plain() {
  Params params;
  params.temperature = 1;
  params.top_k = 0;
  params.top_p = 1;
  params.min_p = 0;
  params.seed = 20110815;
  return params;
}

std::vector<int> Histogram(const Params& params, const std::vector<float>& logits) {
  const auto sampler = Sampler::Create(params, static_cast<int32_t>(logits.size()));
  EXPECT_TRUE(sampler) << sampler.error().message;
  std::vector<int> counts(logits.size());
  for (int i = 0; i < kDraws; ++i) {
    std::vector<float> row = logits;
    const auto choice = sampler->Sample(row, {.position = i});
    EXPECT_TRUE(choice) << choice.error().message;
    ++counts[choice->token];
  }
  return counts;
}

// softmax(logits / temperature) over the tokens listed.
std::vector<double> Softmax(const std::vector<float>& logits, const std::vector<int>& kept,
                            double temperature) {
  std::vector<double> expected(logits.size());
  for (const int token : kept) expected[token] = std::exp(logits[token] / temperature);
  const double total = std::accumulate(expected.begin(), expected.end(), 0.0);
  for (double& p : expected) p /= total;
  return expected;
}

double ChiSquare(const std::vector<int>& counts, const std::vector<double>& expected) {
  double sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (expected[i] == 0) {
      if (counts[i] > 0) return HUGE_VAL;  // a token that must never appear
      continue;
    }
    const double mean = expected[i] * kDraws;
    sum += (counts[i] - mean) * (counts[i] - mean) / mean;
  }
  return sum;
}

constexpr double kBar = 29.9;  // 99.99% of chi-square with 7 degrees of freedom

const std::vector<int> kAll = {0, 1, 2, 3, 4, 5, 6, 7};

TEST(Distribution, TemperatureOneIsTheSoftmax) {
  const std::vector<int> counts = Histogram(Plain(), kLogits);
  EXPECT_LT(ChiSquare(counts, Softmax(kLogits, kAll, 1)), kBar);
  EXPECT_GT(ChiSquare(counts, Softmax(kLogits, kAll, 1.2)), kBar);
}

TEST(Distribution, TemperatureDividesTheLogits) {
  Params params = Plain();
  params.temperature = 0.7f;
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, kAll, 0.7f)), kBar);
}

TEST(Distribution, TopKKeepsTheBest) {
  Params params = Plain();
  params.top_k = 3;
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, {2, 3, 5}, 1)), kBar);
}

TEST(Distribution, TopPIsTakenBeforeTemperature) {
  // At temperature 1 the three best hold 0.85 of the mass; at 3 they would hold 0.60 and more
  // tokens would be needed for the same p.
  Params params = Plain();
  params.temperature = 3;
  params.top_p = 0.75f;
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, {2, 3, 5}, 3)), kBar);
}

TEST(Distribution, TopPRenormalizesOverTopK) {
  // Of the three best (0.40, 0.36, 0.24 among themselves) two reach 0.75; of all eight they do not.
  Params params = Plain();
  params.top_k = 3;
  params.top_p = 0.75f;
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, {2, 5}, 1)), kBar);
}

TEST(Distribution, MinPIsRelativeToTheBest) {
  Params params = Plain();
  params.min_p = 0.2f;  // exp(-1.5) = 0.223 is kept, exp(-2) = 0.135 is not
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, {0, 2, 3, 5}, 1)), kBar);
}

TEST(Distribution, LogitBiasAddsAndForbids) {
  Params params = Plain();
  params.logit_bias = {{6, 5.0f}, {2, -HUGE_VALF}, {1, 1.0f}, {1, 1.0f}};
  std::vector<float> biased = kLogits;
  biased[6] += 5;
  biased[1] += 2;  // a token named twice gets both
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(biased, {0, 1, 3, 4, 5, 6, 7}, 1)), kBar);
}

TEST(Distribution, UniformNumbersFillTheUnitInterval) {
  std::vector<int> bins(8);
  for (int i = 0; i < kDraws; ++i) {
    const double u = Uniform(42, 0, i);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    ++bins[static_cast<size_t>(u * 8)];
  }
  EXPECT_LT(ChiSquare(bins, std::vector<double>(8, 0.125)), kBar);
}

TEST(Distribution, NeighbouringKeysAreUncorrelated) {
  // Pairs (u(key), u(neighbouring key)) over a 3 x 3 grid, for each part of the key. The bar is the
  // 99.99% quantile for 8 degrees of freedom.
  const auto grid = [](auto second) {
    std::vector<int> cells(9);
    for (int i = 0; i < kDraws; ++i)
      ++cells[static_cast<size_t>(Uniform(1, 0, i) * 3) * 3 + static_cast<size_t>(second(i) * 3)];
    return ChiSquare(cells, std::vector<double>(9, 1.0 / 9));
  };
  EXPECT_LT(grid([](int i) { return Uniform(2, 0, i); }), 31.9);
  EXPECT_LT(grid([](int i) { return Uniform(1, 1, i); }), 31.9);
  EXPECT_LT(grid([](int i) { return Uniform(1, 0, i + 1); }), 31.9);
}

}  // namespace
}  // namespace mirage::sample
