// SPDX-License-Identifier: Apache-2.0

#include "sample/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace mirage::sample {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

Sampler Make(const Params& params, int32_t vocabulary) {
  auto sampler = Sampler::Create(params, vocabulary);
  if (!sampler) throw std::runtime_error(sampler.error().message);
  return *std::move(sampler);
}

Params Greedy() {
  Params params;
  params.temperature = 0;
  return params;
}

Result<Choice> SampleOnce(const Params& params, std::vector<float> logits,
                          const DrawContext& context = {}) {
  Workspace workspace;
  return Make(params, static_cast<int32_t>(logits.size())).Sample(logits, context, workspace);
}

TEST(Sampler, GreedyTakesTheLowestIdOnTies) {
  EXPECT_EQ(SampleOnce(Greedy(), {1, 3, 2, 3})->token, 1);
  Params negative = Greedy();
  negative.temperature = -1;
  EXPECT_EQ(SampleOnce(negative, {1, 3, 2, 3})->token, 1);
}

TEST(Sampler, GreedyAppliesBiasAndPenalties) {
  Params params = Greedy();
  params.repeat_penalty = 4;
  params.logit_bias = {{2, 2.0f}};
  const std::vector<int32_t> history = {1};
  // Bias makes token 2's logit 4; the penalty takes token 1's from 5 to 1.25.
  EXPECT_EQ(SampleOnce(params, {3, 5, 2}, {.history = history, .output_begin = 1})->token, 2);
}

TEST(Sampler, BiasComesBeforePenalties) {
  Params params = Greedy();
  params.repeat_penalty = 2;
  params.logit_bias = {{0, 6.0f}};
  const std::vector<int32_t> history = {0};
  // (2 + 6) / 2 = 4 loses to 5; 2 / 2 + 6 = 7 would win.
  EXPECT_EQ(SampleOnce(params, {2, 5}, {.history = history})->token, 1);
}

TEST(Sampler, PenaltiesAfterTruncationChangeWhatIsLeft) {
  Params params = Greedy();
  params.temperature = 1;
  params.top_k = 2;
  params.top_p = 1;
  params.min_p = 0;
  params.repeat_penalty = 1;
  params.presence_penalty = 100;
  const std::vector<int32_t> history = {1};
  for (const char* order : {"top_k;penalties;temperature", "temperature;top_k;penalties"}) {
    params.order = *ParseOrder(order);
    for (int64_t p = 0; p < 50; ++p)  // 1 and 2 are left, and 1 is out of the question
      ASSERT_EQ(SampleOnce(params, {3, 5, 4}, {.history = history, .position = p})->token, 2);
  }
}

TEST(Sampler, TemperatureBeforePenaltiesIsAsIfLogitsWereDivided) {
  Params params;
  params.top_p = 1;
  params.min_p = 0;
  params.temperature = 2;
  params.frequency_penalty = 1.5f;
  params.dry_multiplier = 1;
  params.dry_allowed_length = 1;
  params.order = *ParseOrder("temperature;penalties;dry;min_p");
  Params divided = params;
  divided.order = *ParseOrder("penalties;dry;min_p");
  params.min_p = divided.min_p = 0.2f;
  const std::vector<int32_t> history = {0, 1, 0};
  for (int64_t p = 0; p < 300; ++p) {
    const DrawContext context = {.history = history, .position = p};
    ASSERT_EQ(SampleOnce(params, {6, 8, 5, 4}, context)->token,
              SampleOnce(divided, {3, 4, 2.5f, 2}, context)->token);
  }
}

TEST(Sampler, ArgMaxIsWhateverTruncationSays) {
  Params params = Greedy();
  params.xtc_probability = 1;
  params.xtc_threshold = 0.01f;
  params.typical_p = 0.1f;
  params.mirostat = 2;
  EXPECT_EQ(SampleOnce(params, {1, 3, 2, 3})->token, 1);
}

TEST(Sampler, TheDrawDependsOnSeedPositionAndSampleIndexAlone) {
  Params params;
  params.temperature = 1.5f;
  params.seed = 99;
  std::vector<float> logits(1000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = std::sin(static_cast<float>(i)) * 3;
  const Sampler sampler = Make(params, 1000);
  Workspace workspace;
  const auto draw = [&](const Sampler& from, int64_t position, uint32_t sample_index) {
    std::vector<float> row = logits;
    return from.Sample(row, {.position = position, .sample_index = sample_index}, workspace)->token;
  };

  std::vector<int32_t> forward, backward(50);
  for (int64_t p = 0; p < 50; ++p) forward.push_back(draw(sampler, p, 0));
  for (int64_t p = 49; p >= 0; --p) {
    draw(sampler, p, 1);  // another sample's draws in between change nothing
    backward[static_cast<size_t>(p)] = draw(Make(params, 1000), p, 0);
  }
  EXPECT_EQ(forward, backward);

  std::vector<int32_t> other_sample, other_seed;
  Params reseeded = params;
  reseeded.seed = 100;
  for (int64_t p = 0; p < 50; ++p) {
    other_sample.push_back(draw(sampler, p, 1));
    other_seed.push_back(draw(Make(reseeded, 1000), p, 0));
  }
  EXPECT_NE(forward, other_sample);
  EXPECT_NE(forward, other_seed);
}

TEST(Sampler, AllSixtyFourBitsOfSeedAndPositionCount) {
  Params params;
  params.top_k = 0;
  params.top_p = 1;
  params.min_p = 0;
  const std::vector<float> flat(4096);
  const auto token = [&](uint64_t seed, int64_t position) {
    params.seed = seed;
    return SampleOnce(params, flat, {.position = position})->token;
  };
  EXPECT_NE(token(1, 5), token(1 + (uint64_t{1} << 32), 5));
  EXPECT_NE(token(1, 5), token(1, 5 + (int64_t{1} << 32)));
}

TEST(Sampler, ForbiddenTokensAreNeverDrawn) {
  Params params;
  params.temperature = 100;
  for (const int32_t top_k : {0, 2, 3}) {
    params.top_k = top_k;
    params.min_p = 0;
    params.top_p = 1;
    for (int64_t p = 0; p < 200; ++p) {
      const auto choice = SampleOnce(params, {kForbidden, 1, kForbidden, 0}, {.position = p});
      ASSERT_TRUE(choice->token == 1 || choice->token == 3) << choice->token;
    }
  }
}

TEST(Sampler, EveryTokenForbiddenIsAnError) {
  for (const float temperature : {0.0f, 1.0f}) {
    Params params;
    params.temperature = temperature;
    const auto choice = SampleOnce(params, {kForbidden, kForbidden});
    ASSERT_FALSE(choice);
    EXPECT_EQ(choice.error().code, Code::kInvalidArgument);
    EXPECT_EQ(choice.error().message, "every one of the 2 tokens is forbidden");
  }
}

TEST(Sampler, LogitsThatDoNotCompareAreErrorsNamingTheToken) {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    for (const float temperature : {0.0f, 1.0f}) {
      Params params;
      params.temperature = temperature;
      const auto choice = SampleOnce(params, {0, 1, bad, 2});
      ASSERT_FALSE(choice);
      EXPECT_EQ(choice.error().code, Code::kCorrupt);
      EXPECT_EQ(choice.error().part_kind(), FilePart::Kind::kFile);
      EXPECT_NE(choice.error().message.find("token 2"), std::string::npos);
    }
  }
}

TEST(Sampler, BiasThatOverflowsALogitIsAnError) {
  Params params;
  params.logit_bias = {{1, 3e38f}};
  const auto choice = SampleOnce(params, {0, 3e38f});
  ASSERT_FALSE(choice);
  EXPECT_EQ(choice.error().code, Code::kInvalidArgument);
}

TEST(Sampler, AWrongNumberOfLogitsIsAnError) {
  std::vector<float> logits(3);
  Workspace workspace;
  const auto choice = Make(Params(), 4).Sample(logits, {}, workspace);
  ASSERT_FALSE(choice);
  EXPECT_EQ(choice.error().message, "3 logits for a vocabulary of 4");
}

TEST(Sampler, TinyTemperatureIsNearlyGreedyAndFinite) {
  Params params;
  params.temperature = 1e-38f;
  EXPECT_EQ(SampleOnce(params, {1, 3, 2})->token, 1);
}

TEST(Sampler, LogprobsDescribeTheUnmodifiedLogits) {
  Params params = Greedy();
  params.logit_bias = {{0, 100.0f}};
  const std::vector<float> logits = {0.0f, std::log(2.0f), std::log(4.0f), std::log(2.0f)};
  const auto choice = SampleOnce(params, logits, {.logprobs = 3});
  EXPECT_EQ(choice->token, 0);
  EXPECT_NEAR(choice->logprob, std::log(1.0 / 9), 1e-6);
  ASSERT_EQ(choice->top.size(), 3u);
  EXPECT_EQ(choice->top[0].token, 2);
  EXPECT_NEAR(choice->top[0].logprob, std::log(4.0 / 9), 1e-6);
  EXPECT_EQ(choice->top[1].token, 1);  // the lower of the tied
  EXPECT_EQ(choice->top[2].token, 3);
}

TEST(Sampler, LogprobsAreNotComputedUnlessAsked) {
  const auto choice = SampleOnce(Greedy(), {0, 1});
  EXPECT_EQ(choice->logprob, 0);
  EXPECT_TRUE(choice->top.empty());
}

TEST(Sampler, AskingForLogprobsDoesNotChangeTheToken) {
  Params params;
  params.frequency_penalty = 0.5f;
  const std::vector<int32_t> history = {0, 1, 1};
  for (int64_t p = 0; p < 100; ++p) {
    const DrawContext plain = {.history = history, .position = p};
    DrawContext with = plain;
    with.logprobs = 2;
    ASSERT_EQ(SampleOnce(params, {1, 2, 1.5f}, plain)->token,
              SampleOnce(params, {1, 2, 1.5f}, with)->token);
  }
}

struct BadParams {
  const char* name;
  std::function<void(Params&)> spoil;
};

TEST(Sampler, ParametersOutOfRangeAreNamed) {
  const float nan = std::nanf("");
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<BadParams> cases = {
      {"temperature", [=](Params& p) { p.temperature = nan; }},
      {"temperature", [=](Params& p) { p.temperature = inf; }},
      {"top_k", [](Params& p) { p.top_k = -1; }},
      {"top_p", [](Params& p) { p.top_p = 1.01f; }},
      {"top_p", [](Params& p) { p.top_p = -0.1f; }},
      {"top_p", [=](Params& p) { p.top_p = nan; }},
      {"min_p", [](Params& p) { p.min_p = 2; }},
      {"min_p", [=](Params& p) { p.min_p = nan; }},
      {"typical_p", [](Params& p) { p.typical_p = -1; }},
      {"typical_p", [=](Params& p) { p.typical_p = nan; }},
      {"repeat_penalty", [](Params& p) { p.repeat_penalty = 0; }},
      {"repeat_penalty", [=](Params& p) { p.repeat_penalty = inf; }},
      {"repeat_last_n", [](Params& p) { p.repeat_last_n = -2; }},
      {"presence_penalty", [=](Params& p) { p.presence_penalty = nan; }},
      {"frequency_penalty", [=](Params& p) { p.frequency_penalty = inf; }},
      {"top_n_sigma", [](Params& p) { p.top_n_sigma = -1; }},
      {"top_n_sigma", [=](Params& p) { p.top_n_sigma = nan; }},
      {"dry_multiplier", [](Params& p) { p.dry_multiplier = -1; }},
      {"dry_multiplier", [=](Params& p) { p.dry_multiplier = inf; }},
      {"dry_base", [](Params& p) { p.dry_base = 0.5f; }},
      {"dry_base", [=](Params& p) { p.dry_base = nan; }},
      {"dry_allowed_length", [](Params& p) { p.dry_allowed_length = -1; }},
      {"dry_penalty_last_n", [](Params& p) { p.dry_penalty_last_n = -2; }},
      {"xtc_probability", [](Params& p) { p.xtc_probability = 1.5f; }},
      {"xtc_threshold", [=](Params& p) { p.xtc_threshold = nan; }},
      {"dynatemp_range", [](Params& p) { p.dynatemp_range = -1; }},
      {"dynatemp_exponent", [](Params& p) { p.dynatemp_exponent = 0; }},
      {"dynatemp_exponent", [=](Params& p) { p.dynatemp_exponent = nan; }},
      {"mirostat is 3", [](Params& p) { p.mirostat = 3; }},
      {"mirostat_tau", [](Params& p) { p.mirostat_tau = -1; }},
      {"mirostat_eta", [](Params& p) { p.mirostat_eta = 2; }},
      {"allowed_tokens names token 8",
       [](Params& p) {
         p.allowed_tokens = {1, 8};
       }},
      {"banned_sequences names token -3",
       [](Params& p) {
         p.banned_sequences =
             std::make_shared<const TokenSequences>(std::vector<std::vector<int32_t>>{{2, -3}});
       }},
      {"banned_sequences has a sequence of no tokens",
       [](Params& p) {
         p.banned_sequences =
             std::make_shared<const TokenSequences>(std::vector<std::vector<int32_t>>{{}});
       }},
      {"logit_bias names token 8",
       [](Params& p) {
         p.logit_bias = {{8, 0.0f}};
       }},
      {"logit_bias names token -1",
       [](Params& p) {
         p.logit_bias = {{-1, 0.0f}};
       }},
      {"logit_bias of token 3",
       [=](Params& p) {
         p.logit_bias = {{3, nan}};
       }},
      {"logit_bias of token 3",
       [=](Params& p) {
         p.logit_bias = {{3, inf}};
       }},
  };
  for (const BadParams& bad : cases) {
    Params params;
    bad.spoil(params);
    const auto sampler = Sampler::Create(params, 8);
    ASSERT_FALSE(sampler) << bad.name;
    EXPECT_EQ(sampler.error().code, Code::kInvalidArgument);
    EXPECT_EQ(sampler.error().message.find(bad.name), 0u) << sampler.error().message;
  }
  EXPECT_FALSE(Sampler::Create(Params(), 0));
}

}  // namespace
}  // namespace mirage::sample
