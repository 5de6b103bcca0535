// SPDX-License-Identifier: Apache-2.0

#include "sample/mirostat.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "sample/sampler.h"

namespace mirage::sample {
namespace {

constexpr int32_t kVocabulary = 5000;

// Zipf's law with exponent 1.1, the likeliest in the middle of the ids.
std::vector<float> Zipf() {
  std::vector<float> logits(kVocabulary);
  for (int32_t rank = 0; rank < kVocabulary; ++rank)
    logits[(rank + kVocabulary / 2) % kVocabulary] =
        static_cast<float>(-1.1 * std::log(static_cast<double>(rank + 1)));
  return logits;
}

std::vector<double> Probabilities(const std::vector<float>& logits, double temperature) {
  std::vector<double> p(logits.size());
  for (size_t i = 0; i < p.size(); ++i) p[i] = std::exp(logits[i] / temperature);
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& one : p) one /= sum;
  return p;
}

Params Mirostat(int32_t version, float tau) {
  Params params;
  params.mirostat = version;
  params.mirostat_tau = tau;
  params.temperature = 1;
  params.seed = 3;
  return params;
}

struct Trace {
  std::vector<int32_t> tokens;
  std::vector<double> mus;
};

Trace DrawMany(const Params& params, int count, const std::vector<float>& logits = Zipf()) {
  auto sampler = Sampler::Create(params, static_cast<int32_t>(logits.size()));
  EXPECT_TRUE(sampler) << sampler.error().message;
  Workspace workspace;
  Trace trace;
  DrawContext context;
  for (context.position = 0; context.position < count; ++context.position) {
    std::vector<float> row = logits;
    const auto choice = sampler->Sample(row, context, workspace);
    EXPECT_TRUE(choice) << choice.error().message;
    context.mirostat_mu = choice->mirostat_mu;
    trace.tokens.push_back(choice->token);
    trace.mus.push_back(*choice->mirostat_mu);
  }
  return trace;
}

// What the stated rule does with the token drawn, computed from sorted probabilities.
TEST(Mirostat, VersionTwoKeepsTokensUpToASurpriseOfMuAndMovesMu) {
  const Params params = Mirostat(2, 3);
  for (const double temperature : {1.0, 0.7}) {
    Params heated = params;
    heated.temperature = static_cast<float>(temperature);
    const std::vector<double> p = Probabilities(Zipf(), double{heated.temperature});
    const Trace trace = DrawMany(heated, 400);
    double mu = 6;
    for (size_t i = 0; i < trace.tokens.size(); ++i) {
      double kept = 0;
      for (const double one : p)
        if (-std::log2(one) <= mu) kept += one;
      if (kept == 0) kept = *std::max_element(p.begin(), p.end());
      const double drawn = p[trace.tokens[i]];
      ASSERT_LE(drawn, kept);
      if (-std::log2(drawn) > mu) {
        EXPECT_EQ(drawn, *std::max_element(p.begin(), p.end()));
      }
      mu -= double{heated.mirostat_eta} * (-std::log2(drawn / kept) - 3);
      ASSERT_NEAR(trace.mus[i], mu, 1e-5) << i;
    }
  }
}

TEST(Mirostat, VersionOneKeepsTheTokensOfZipfsLawAndMovesMu) {
  const Trace trace = DrawMany(Mirostat(1, 3), 400);
  std::vector<double> p = Probabilities(Zipf(), 1);
  const std::vector<double> by_token = p;
  std::sort(p.rbegin(), p.rend());
  double products = 0, squares = 0;
  for (int i = 0; i < 99; ++i) {
    const double t = std::log((i + 2.0) / (i + 1.0));
    products += t * std::log(p[i] / p[i + 1]);
    squares += t * t;
  }
  const double s = products / squares;
  EXPECT_NEAR(s, 1.1, 1e-4);
  const double e = s - 1;
  double mu = 6;
  for (size_t i = 0; i < trace.tokens.size(); ++i) {
    const double exact =
        std::pow(e * std::pow(2, mu) / (1 - std::pow(double{kVocabulary}, -e)), 1 / s);
    const auto k = static_cast<size_t>(std::clamp(exact, 1.0, double{kVocabulary}));
    const double kept = std::accumulate(p.begin(), p.begin() + static_cast<ptrdiff_t>(k), 0.0);
    const double drawn = by_token[trace.tokens[i]];
    ASSERT_GE(drawn, p[k - 1] * (1 - 1e-9)) << i;
    mu -= 0.1f * (-std::log2(drawn / kept) - 3);
    ASSERT_NEAR(trace.mus[i], mu, 1e-3) << i;
  }
}

// The mean surprise under the truncated distribution is what mu's moves add up to.
TEST(Mirostat, TheMeanSurpriseIsTau) {
  for (const int32_t version : {1, 2}) {
    for (const float tau : {2.0f, 4.5f, 7.0f}) {
      const Trace trace = DrawMany(Mirostat(version, tau), 3000);
      const double moved = trace.mus.back() - trace.mus[499];
      const double mean = tau - moved / 0.1f / 2500;
      EXPECT_NEAR(mean, tau, 0.05) << version << ", " << tau;
      EXPECT_LT(std::abs(trace.mus.back()), 20);
    }
  }
}

// 20000 first draws against the truncated softmax, as in distribution_test.cc.
TEST(Mirostat, DrawsFromTheTruncatedDistribution) {
  const std::vector<float> logits = {1.5f, -0.5f, 3.0f, 2.5f, 0.0f, 2.9f, -4.0f, 1.0f};
  Params params = Mirostat(2, 1.2f);  // mu = 2.4 bits: tokens of a probability above 0.189
  params.mirostat_eta = 0;
  constexpr int kDraws = 20000;
  std::vector<int> counts(8);
  for (const int32_t token : DrawMany(params, kDraws, logits).tokens) ++counts[token];
  const std::vector<double> p = Probabilities(logits, 1);
  ASSERT_GT(p[3], 0.1895);
  const double kept = p[2] + p[3] + p[5];
  double chi_square = 0;
  for (const int token : {2, 3, 5}) {
    const double mean = p[token] / kept * kDraws;
    chi_square += (counts[token] - mean) * (counts[token] - mean) / mean;
  }
  EXPECT_LT(chi_square, 18.4);  // 99.99% for 2 degrees of freedom
  EXPECT_EQ(counts[2] + counts[3] + counts[5], kDraws);
}

TEST(Mirostat, TheNextDrawDependsOnMuAloneNotOnEarlierCalls) {
  const Params params = Mirostat(2, 3);
  const Trace trace = DrawMany(params, 50);
  auto sampler = Sampler::Create(params, kVocabulary);
  Workspace workspace;
  DrawContext context;
  for (context.position = 49; context.position > 0; --context.position) {  // backwards
    const auto at = static_cast<size_t>(context.position);
    context.mirostat_mu = trace.mus[at - 1];
    std::vector<float> row = Zipf();
    const auto choice = sampler->Sample(row, context, workspace);
    ASSERT_EQ(choice->token, trace.tokens[at]);
    ASSERT_EQ(*choice->mirostat_mu, trace.mus[at]);
  }
}

TEST(Mirostat, ReplacesTruncationAndLeavesPenalties) {
  const Params params = Mirostat(2, 3);
  Params truncated = params;
  truncated.top_k = 1;
  truncated.top_p = 0.01f;
  truncated.xtc_probability = 1;
  EXPECT_EQ(DrawMany(params, 100).tokens, DrawMany(truncated, 100).tokens);
  Params biased = params;
  biased.logit_bias = {{kVocabulary / 2, -HUGE_VALF}};
  for (const int32_t token : DrawMany(biased, 100).tokens) EXPECT_NE(token, kVocabulary / 2);
}

TEST(Mirostat, OddDistributionsAreDrawnFrom) {
  for (const int32_t version : {1, 2}) {
    for (const std::vector<float>& logits :
         {std::vector<float>{0.0f}, std::vector<float>(300, 1.0f),
          std::vector<float>{1e38f, -1e38f}, std::vector<float>{-HUGE_VALF, 2.0f, -HUGE_VALF}}) {
      Params params = Mirostat(version, 0);
      params.temperature = 1e-3f;
      const Trace trace = DrawMany(params, 20, logits);
      for (const int32_t token : trace.tokens) EXPECT_GT(logits[token], -1e38f);
      for (const double mu : trace.mus) EXPECT_TRUE(std::isfinite(mu));
    }
  }
}

}  // namespace
}  // namespace mirage::sample
