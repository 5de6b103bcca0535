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
  Workspace workspace;
  for (int i = 0; i < kDraws; ++i) {
    std::vector<float> row = logits;
    const auto choice = sampler->Sample(row, {.position = i}, workspace);
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

Order Stages(const char* names) {
  auto order = ParseOrder(names);
  EXPECT_TRUE(order) << order.error().message;
  return *std::move(order);
}

// The tokens that satisfy `keeps`.
template <typename Keeps>
std::vector<int> Where(Keeps keeps) {
  std::vector<int> kept;
  for (const int token : kAll)
    if (keeps(token)) kept.push_back(token);
  return kept;
}

double Entropy(const std::vector<double>& probabilities) {
  double entropy = 0;
  for (const double p : probabilities)
    if (p > 0) entropy -= p * std::log(p);
  return entropy;
}

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

TEST(Distribution, TopNSigmaCountsDeviationsFromTheHighestLogit) {
  Params params = Plain();
  params.top_n_sigma = 0.9f;
  double mean = 0, squares = 0;
  for (const float logit : kLogits) mean += logit / 8.0;
  for (const float logit : kLogits) squares += (logit - mean) * (logit - mean) / 8;
  const double bar = 3.0 - double{params.top_n_sigma} * std::sqrt(squares);
  const std::vector<int> kept = Where([&](int token) { return kLogits[token] >= bar; });
  ASSERT_EQ(kept, (std::vector<int>{0, 2, 3, 5}));
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, kept, 1)), kBar);
  params.temperature = 3;  // the same tokens, wherever the temperature comes
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, kept, 3)), kBar);
  params.order = Stages("temperature;top_n_sigma");
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, kept, 3)), kBar);
  params.order = Stages("top_k;top_n_sigma;temperature");
  params.top_k = 4;  // mean 2.475, deviation 0.593: the best three are within 0.9 of it
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, {2, 3, 5}, 3)), kBar);
}

TEST(Distribution, XtcExcludesTheTopChoicesWithItsProbability) {
  Params params = Plain();
  params.xtc_probability = 0.3f;
  params.xtc_threshold = 0.15f;
  const std::vector<double> all = Softmax(kLogits, kAll, 1);
  // Tokens 2, 5 and 3 have 0.32, 0.29 and 0.19: the first two go.
  const std::vector<double> without = Softmax(kLogits, {0, 1, 3, 4, 6, 7}, 1);
  ASSERT_GT(all[3], 0.15);
  ASSERT_LT(all[0], 0.15);
  std::vector<double> mixed(8);
  for (const int token : kAll) mixed[token] = 0.7 * all[token] + 0.3 * without[token];
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), mixed), kBar);
  EXPECT_GT(ChiSquare(Histogram(params, kLogits), all), kBar);
  params.xtc_probability = 1;
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), without), kBar);
  params.xtc_threshold = 0.31f;  // one token alone is never excluded
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), all), kBar);
}

TEST(Distribution, XtcIsTakenBeforeTemperature) {
  Params params = Plain();
  params.xtc_probability = 1;
  params.xtc_threshold = 0.15f;
  params.temperature = 2;
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, {0, 1, 3, 4, 6, 7}, 2)), kBar);
}

TEST(Distribution, XtcAndTheDrawUseIndependentNumbers) {
  std::vector<int> cells(9);
  for (int i = 0; i < kDraws; ++i)
    ++cells[static_cast<size_t>(Uniform(1, 0, i) * 3) * 3 +
            static_cast<size_t>(Uniform(1, 0, i, Purpose::kXtc) * 3)];
  EXPECT_LT(ChiSquare(cells, std::vector<double>(9, 1.0 / 9)), 31.9);
}

TEST(Distribution, DynamicTemperatureFollowsTheEntropy) {
  for (const float exponent : {1.0f, 2.5f}) {
    Params params = Plain();
    params.temperature = 1.2f;
    params.dynatemp_range = 0.7f;
    params.dynatemp_exponent = exponent;
    const double part = Entropy(Softmax(kLogits, kAll, 1)) / std::log(8.0);
    const double temperature = 0.5 + 1.4 * std::pow(part, double{exponent});
    EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, kAll, temperature)), kBar);
    EXPECT_GT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, kAll, 1.2)), kBar);
  }
}

TEST(Distribution, DynamicTemperatureIsNeverBelowZero) {
  Params params = Plain();
  params.temperature = 0.1f;
  params.dynatemp_range = 1;
  const double temperature = 1.1 * Entropy(Softmax(kLogits, kAll, 1)) / std::log(8.0);
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, kAll, temperature)), kBar);
  params.temperature = -0.5f;
  params.dynatemp_range = 0.5f;
  EXPECT_EQ(Histogram(params, kLogits)[2], kDraws);
}

TEST(Distribution, StagesApplyInTheOrderGiven) {
  Params params = Plain();
  params.temperature = 3;
  params.top_p = 0.75f;
  params.order = Stages("temperature;top_p");
  // At temperature 3 it takes five tokens to make up 0.75, at 1 it takes three.
  const std::vector<double> flat = Softmax(kLogits, kAll, 3);
  ASSERT_LT(flat[2] + flat[5] + flat[3] + flat[0], 0.75);
  ASSERT_GT(flat[2] + flat[5] + flat[3] + flat[0] + flat[7], 0.75);
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, {0, 2, 3, 5, 7}, 3)), kBar);
  params.top_p = 1;
  params.min_p = 0.5f;
  params.order = Stages("temperature;min_p");
  const std::vector<int> kept =
      Where([&](int token) { return kLogits[token] >= 3.0 + 3 * std::log(0.5); });
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, kept, 3)), kBar);
  params.order = Stages("temperature;top_k;min_p");
  params.top_k = 4;
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, {0, 2, 3, 5}, 3)), kBar);
}

TEST(Distribution, AStageThatTheOrderLeavesOutIsOff) {
  Params params = Plain();
  params.temperature = 0;
  params.top_k = 1;
  params.repeat_penalty = 9;
  params.order = {};
  EXPECT_LT(ChiSquare(Histogram(params, kLogits), Softmax(kLogits, kAll, 1)), kBar);
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
