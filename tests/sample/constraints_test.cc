// SPDX-License-Identifier: Apache-2.0

#include "sample/constraints.h"

#include <gtest/gtest.h>

#include <cmath>
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

}  // namespace
}  // namespace mirage::sample
