// SPDX-License-Identifier: Apache-2.0

#include "sample/truncation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "sample/logit_scan.h"

namespace mirage::sample {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

std::vector<Candidate> HighestLogits(const std::vector<float>& logits, size_t k) {
  std::vector<float> block_max;
  std::vector<Candidate> best;
  LogitScan(logits, block_max).Highest(k, best);
  return best;
}

std::vector<Candidate> AllowedTokens(const std::vector<float>& logits) {
  std::vector<float> block_max;
  std::vector<Candidate> all;
  LogitScan(logits, block_max).All(all);
  return all;
}

std::vector<int32_t> Tokens(const std::vector<Candidate>& candidates) {
  std::vector<int32_t> tokens;
  for (const Candidate& candidate : candidates) tokens.push_back(candidate.token);
  return tokens;
}

std::vector<int32_t> SortedTokens(const std::vector<Candidate>& candidates) {
  std::vector<int32_t> tokens = Tokens(candidates);
  std::sort(tokens.begin(), tokens.end());
  return tokens;
}

using Rule = void (*)(double, Remaining&);

void Keep(Rule rule, double p, std::vector<Candidate>& candidates) {
  Remaining remaining;
  remaining.candidates = std::move(candidates);
  rule(p, remaining);
  candidates = std::move(remaining.candidates);
}

// Candidates 0.. with the given probabilities.
std::vector<Candidate> WithProbabilities(const std::vector<double>& probabilities) {
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < probabilities.size(); ++i)
    candidates.push_back(
        {static_cast<int32_t>(i), static_cast<float>(std::log(probabilities[i]) + 3)});
  return candidates;
}

// What HighestLogits must find, by sorting everything.
std::vector<int32_t> SortedPrefix(const std::vector<float>& logits, size_t k) {
  std::vector<Candidate> all = AllowedTokens(logits);
  std::stable_sort(all.begin(), all.end(),
                   [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; });
  all.resize(std::min(k, all.size()));
  return Tokens(all);
}

TEST(HighestLogits, EqualsAFullSortWithManyTies) {
  std::mt19937 random(7);
  for (const size_t vocabulary : {1u, 2u, 255u, 257u, 5000u}) {
    for (const size_t k : {1u, 2u, 40u, 300u, 4999u, 5000u, 6000u}) {
      std::vector<float> logits(vocabulary);
      for (float& logit : logits) {
        const int level = static_cast<int>(random() % 50);
        logit = level == 0 ? kForbidden : static_cast<float>(level) / 8;
      }
      EXPECT_EQ(Tokens(HighestLogits(logits, k)), SortedPrefix(logits, k))
          << vocabulary << " logits, k " << k;
    }
  }
}

TEST(HighestLogits, EqualsAFullSortWhenEveryLogitPassesTheBar) {
  std::vector<float> ascending(20000);
  std::iota(ascending.begin(), ascending.end(), 0.0f);
  EXPECT_EQ(Tokens(HighestLogits(ascending, 40)), SortedPrefix(ascending, 40));
}

TEST(TopP, KeepsTheFewestThatReachP) {
  std::vector<Candidate> candidates = WithProbabilities({0.1, 0.5, 0.15, 0.25});
  Keep(KeepTopP, 0.7, candidates);
  EXPECT_EQ(SortedTokens(candidates), (std::vector<int32_t>{1, 3}));
}

TEST(TopP, ZeroKeepsTheBestAndOneKeepsAll) {
  std::vector<Candidate> best = WithProbabilities({0.1, 0.5, 0.4});
  Keep(KeepTopP, 0, best);
  EXPECT_EQ(Tokens(best), (std::vector<int32_t>{1}));
  std::vector<Candidate> all = WithProbabilities({0.1, 0.5, 0.4});
  Keep(KeepTopP, 1, all);
  EXPECT_EQ(all.size(), 3u);
}

TEST(TopP, EqualsASortOfTheWholeVocabulary) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 1.5f);
  std::vector<float> logits(20000);
  for (float& logit : logits) logit = normal(random);
  for (const double p : {0.01, 0.3, 0.9, 0.999}) {
    std::vector<Candidate> expected = AllowedTokens(logits);
    std::sort(expected.begin(), expected.end(), Before);
    Remaining sorted;
    sorted.candidates = expected;
    ComputeWeights(sorted);
    const std::vector<double>& weights = sorted.weights;
    const double needed = p * std::accumulate(weights.begin(), weights.end(), 0.0);
    size_t kept = 0;
    for (double sum = 0; sum < needed; ++kept) sum += weights[kept];
    expected.resize(kept);

    std::vector<Candidate> candidates = AllowedTokens(logits);
    Keep(KeepTopP, p, candidates);
    std::sort(candidates.begin(), candidates.end(), Before);
    // The masses are summed in another order, so the border may fall one token off.
    EXPECT_NEAR(static_cast<double>(candidates.size()), static_cast<double>(kept), 1) << p;
    const size_t common = std::min(kept, candidates.size());
    expected.resize(common);
    candidates.resize(common);
    EXPECT_EQ(Tokens(candidates), Tokens(expected)) << p;
  }
}

TEST(TopP, TiesAtTheBorderKeepTheLowerIds) {
  std::vector<Candidate> candidates;
  for (int32_t token = 999; token >= 0; --token) candidates.push_back({token, 1.0f});
  Keep(KeepTopP, 0.25, candidates);
  std::vector<int32_t> lowest(250);
  std::iota(lowest.begin(), lowest.end(), 0);
  EXPECT_EQ(SortedTokens(candidates), lowest);
}

TEST(MinP, KeepsTokensAtLeastThatFractionOfTheLikeliest) {
  std::vector<Candidate> candidates = WithProbabilities({0.04, 0.6, 0.29, 0.07});
  Keep(KeepMinP, 0.1, candidates);
  EXPECT_EQ(Tokens(candidates), (std::vector<int32_t>{1, 2, 3}));
}

TEST(MinP, OneKeepsOnlyTheTiedBest) {
  std::vector<Candidate> candidates = {{0, 1.0f}, {1, 2.0f}, {2, 2.0f}};
  Keep(KeepMinP, 1, candidates);
  EXPECT_EQ(Tokens(candidates), (std::vector<int32_t>{1, 2}));
}

// Entropy of {0.5, 0.2, 0.2, 0.1} is 1.221 nats; the surprisals are 0.693, 1.609, 1.609, 2.303, so
// the distances order as 1, 2 (0.389, tied), 0 (0.527), 3 (1.082).
TEST(Typical, KeepsTheLeastSurprisingFirst) {
  std::vector<Candidate> two = WithProbabilities({0.5, 0.2, 0.2, 0.1});
  Keep(KeepTypical, 0.3, two);
  EXPECT_EQ(SortedTokens(two), (std::vector<int32_t>{1, 2}));
  std::vector<Candidate> three = WithProbabilities({0.5, 0.2, 0.2, 0.1});
  Keep(KeepTypical, 0.6, three);
  EXPECT_EQ(SortedTokens(three), (std::vector<int32_t>{0, 1, 2}));
}

TEST(Typical, ZeroKeepsOne) {
  std::vector<Candidate> candidates = WithProbabilities({0.5, 0.2, 0.2, 0.1});
  Keep(KeepTypical, 0, candidates);
  EXPECT_EQ(Tokens(candidates), (std::vector<int32_t>{1}));
}

TEST(Typical, TokensOfNoProbabilityAreNeverPreferred) {
  std::vector<Candidate> candidates = {{0, 0.0f}, {1, 0.0f}, {2, -1e30f}};
  Keep(KeepTypical, 0.99, candidates);
  EXPECT_EQ(SortedTokens(candidates), (std::vector<int32_t>{0, 1}));
}

}  // namespace
}  // namespace mirage::sample
