// SPDX-License-Identifier: Apache-2.0

#include "sample/constraints.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "sample/sampler.h"

namespace mirage::sample {
namespace {

using Tokens = std::vector<int32_t>;

std::shared_ptr<const TokenSequences> Set(std::vector<Tokens> sequences) {
  return std::make_shared<const TokenSequences>(std::move(sequences));
}

Params Flat() {
  Params params;
  params.top_k = 0;
  params.top_p = 1;
  params.min_p = 0;
  return params;
}

// Which of 8 equally likely tokens are ever drawn.
std::set<int32_t> Drawn(const Params& params, const Tokens& history = {},
                        const Tokens& forbidden = {}) {
  const auto sampler = Sampler::Create(params, 8);
  EXPECT_TRUE(sampler) << sampler.error().message;
  Workspace workspace;
  DrawContext context;
  context.history = history;
  context.forbidden = forbidden;
  std::set<int32_t> drawn;
  for (context.position = 0; context.position < 300; ++context.position) {
    std::vector<float> row(8, 1.0f);
    drawn.insert(sampler->Sample(row, context, workspace)->token);
  }
  return drawn;
}

std::string ErrorOf(const Params& params, const Tokens& history = {},
                    const Tokens& forbidden = {}) {
  const auto sampler = Sampler::Create(params, 8);
  Workspace workspace;
  DrawContext context;
  context.history = history;
  context.forbidden = forbidden;
  std::vector<float> row(8, 1.0f);
  const auto choice = sampler->Sample(row, context, workspace);
  return choice ? "" : choice.error().message;
}

TEST(Constraints, OnlyAllowedTokensAreDrawn) {
  Params params = Flat();
  params.allowed_tokens = {6, 2, 2};
  EXPECT_EQ(Drawn(params), (std::set<int32_t>{2, 6}));
  params.temperature = 0;
  EXPECT_EQ(Drawn(params), (std::set<int32_t>{2}));
}

TEST(Constraints, BannedSequencesAreNotCompleted) {
  Params params = Flat();
  params.banned_sequences = Set({{1, 2, 3}, {2, 4}, {5}, {0, 0, 0, 0, 0, 0}});
  EXPECT_EQ(Drawn(params), (std::set<int32_t>{0, 1, 2, 3, 4, 6, 7}));
  EXPECT_EQ(Drawn(params, {1, 2}), (std::set<int32_t>{0, 1, 2, 6, 7}));
  EXPECT_EQ(Drawn(params, {2}), (std::set<int32_t>{0, 1, 2, 3, 6, 7}));
  EXPECT_EQ(Drawn(params, {2, 1}), (std::set<int32_t>{0, 1, 2, 3, 4, 6, 7}));
}

TEST(Constraints, ForbiddenTokensAreNotDrawn) {
  EXPECT_EQ(Drawn(Flat(), {}, {0, 7, 9, -1}), (std::set<int32_t>{1, 2, 3, 4, 5, 6}));
}

TEST(Constraints, TheyAddUpAndABiasDoesNotUndoThem) {
  Params params = Flat();
  params.allowed_tokens = {1, 2, 3, 4};
  params.banned_sequences = Set({{6, 1}});
  params.logit_bias = {{1, 50.0f}, {2, -HUGE_VALF}, {7, 50.0f}};
  EXPECT_EQ(Drawn(params, {6}, {3}), (std::set<int32_t>{4}));
}

TEST(Constraints, WhenNothingRemainsTheErrorNamesThem) {
  Params params = Flat();
  params.allowed_tokens = {1, 2};
  params.banned_sequences = Set({{1}});
  EXPECT_EQ(ErrorOf(params), "");
  EXPECT_EQ(
      ErrorOf(params, {}, {2}),
      "every one of the 8 tokens is forbidden by allowed_tokens, banned_sequences, min_tokens");
  params.logit_bias = {{2, -HUGE_VALF}};
  params.temperature = 0;
  EXPECT_EQ(ErrorOf(params),
            "every one of the 8 tokens is forbidden by logit_bias, allowed_tokens, "
            "banned_sequences");
  for (const int32_t mirostat : {1, 2}) {
    params.temperature = 1;
    params.mirostat = mirostat;
    EXPECT_NE(ErrorOf(params), "");
  }
}

TEST(Constraints, LogprobsAreThoseOfTheModelWhateverIsForbidden) {
  Params params = Flat();
  params.allowed_tokens = {3};
  params.temperature = 0.1f;
  const auto sampler = Sampler::Create(params, 4);
  Workspace workspace;
  std::vector<float> row = {2, 1, 0, -1};
  const auto choice = sampler->Sample(row, {.logprobs = 2}, workspace);
  const double sum = std::exp(2.0) + std::exp(1.0) + 1 + std::exp(-1.0);
  EXPECT_EQ(choice->token, 3);
  EXPECT_NEAR(choice->logprob, -1 - std::log(sum), 1e-6);
  EXPECT_EQ(choice->top[0].token, 0);
  EXPECT_NEAR(choice->top[0].logprob, 2 - std::log(sum), 1e-6);
}

BitSet SetOf(size_t size, const std::vector<size_t>& members) {
  BitSet set(size);
  for (const size_t member : members) set.Add(member);
  return set;
}

TEST(Constraints, AGrammarsMaskCountsBeforeEveryStage) {
  // What is drawn is what a row is drawn from whose other logits are -inf already.
  const size_t size = 200;
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 2);
  for (int round = 0; round < 300; ++round) {
    Params params;
    params.temperature = round % 5 == 0 ? 0.0f : 0.9f;
    params.top_k = round % 3 == 0 ? 0 : 7;
    params.typical_p = round % 4 == 0 ? 0.8f : 1.0f;
    params.top_n_sigma = round % 7 == 0 ? 1.0f : 0.0f;
    params.mirostat = round % 11 == 0 ? 2 : 0;
    params.repeat_penalty = 1.2f;
    params.dry_multiplier = 0.5f;
    params.logit_bias = {{3, 2.0f}, {11, -1.0f}};
    params.seed = static_cast<uint64_t>(round);
    const auto sampler = Sampler::Create(params, static_cast<int32_t>(size));
    ASSERT_TRUE(sampler);
    BitSet mask(size);
    std::vector<float> row(size), masked(size, -INFINITY);
    const auto kept_in_64 = random() % 65;
    for (size_t token = 0; token < size; ++token) {
      row[token] = normal(random);
      // Words with all, none and some of their tokens.
      if (token == 5 || (token >= 64 && token < 128) ||
          (token >= 128 && random() % 64 < kept_in_64)) {
        mask.Add(token);
        masked[token] = row[token];
      }
    }
    const Tokens history = {1, 5, 70, 71, 5, 70};
    Workspace workspace;
    DrawContext context;
    context.history = history;
    context.position = 6;
    const auto expected = sampler->Sample(masked, context, workspace);
    context.grammar = &mask;
    const auto choice = sampler->Sample(row, context, workspace);
    ASSERT_TRUE(expected && choice);
    EXPECT_EQ(choice->token, expected->token) << round;
    EXPECT_TRUE(mask.Has(static_cast<size_t>(choice->token)));
  }
}

TEST(Constraints, TokensBeyondAMaskAreNotAllowed) {
  const auto sampler = Sampler::Create(Flat(), 100);
  Workspace workspace;
  const BitSet mask = SetOf(60, {7});
  DrawContext context;
  context.grammar = &mask;
  std::vector<float> row(100, 0.0f);
  row[99] = 50;
  EXPECT_EQ(sampler->Sample(row, context, workspace)->token, 7);
}

TEST(Constraints, LogprobsAreThoseBeforeAGrammar) {
  const auto sampler = Sampler::Create(Flat(), 4);
  Workspace workspace;
  const BitSet mask = SetOf(4, {2});
  DrawContext context;
  context.grammar = &mask;
  context.logprobs = 1;
  std::vector<float> row = {3, 0, 0, 0};
  const auto choice = sampler->Sample(row, context, workspace);
  EXPECT_EQ(choice->token, 2);
  EXPECT_EQ(choice->top[0].token, 0);
  EXPECT_LT(choice->logprob, choice->top[0].logprob);
}

TEST(Constraints, AGrammarThatLeavesNothingIsNamed) {
  Params params = Flat();
  params.allowed_tokens = {1, 2};
  const auto sampler = Sampler::Create(params, 4);
  Workspace workspace;
  const BitSet mask = SetOf(4, {3});
  DrawContext context;
  context.grammar = &mask;
  std::vector<float> row(4, 0.0f);
  const auto choice = sampler->Sample(row, context, workspace);
  ASSERT_FALSE(choice);
  EXPECT_NE(choice.error().message.find("allowed_tokens, the grammar"), std::string::npos);
}

}  // namespace
}  // namespace mirage::sample
