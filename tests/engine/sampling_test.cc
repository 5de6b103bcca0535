// SPDX-License-Identifier: Apache-2.0

// Samplers that look at the text, draw twice or remember: the tokens are those of the request
// alone, whatever the engine does around it.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

struct Case {
  std::string name;
  sample::Params params;
};

std::vector<Case> Cases() {
  sample::Params plain;
  plain.temperature = 1.2f;
  plain.seed = 5;
  std::vector<Case> cases(4, {"", plain});
  cases[0].name = "mirostat 1";
  cases[0].params.mirostat = 1;
  cases[0].params.mirostat_tau = 2;
  cases[1].name = "mirostat 2";
  cases[1].params.mirostat = 2;
  cases[1].params.mirostat_tau = 2;
  cases[1].params.mirostat_eta = 0.7f;
  cases[2].name = "DRY and XTC";
  cases[2].params.dry_multiplier = 2;
  cases[2].params.dry_allowed_length = 1;
  cases[2].params.xtc_probability = 0.5f;
  cases[2].params.xtc_threshold = 0.02f;
  cases[3].name = "dynamic temperature and top-n-sigma";
  cases[3].params.dynatemp_range = 0.8f;
  cases[3].params.top_n_sigma = 2;
  return cases;
}

RequestOptions Drawn(const std::shared_ptr<ModelRunner>& model, const sample::Params& params) {
  RequestOptions options = Greedy(model, Prompt(2, 30), 100);
  options.sampling = params;
  return options;
}

std::vector<int32_t> Alone(const FakeModel::Options& model_options, const sample::Params& params) {
  FakeHost host;
  auto model = FakeModel::Make(host, model_options);
  Engine engine(host.clock);
  return Collect(*MustSubmit(engine, Drawn(model, params))).tokens;
}

TEST(Sampling, PreemptionChangesNoToken) {
  for (const Case& sampled : Cases()) {
    FakeHost host(6 * kPage);
    Gate gate;  // both are there before the first pass ends
    FakeModel::Options held = OneLayer();
    held.begin = [&gate](auto) -> Status {
      gate.Pass();
      return {};
    };
    auto model = FakeModel::Make(host, held);
    Engine engine(host.clock);
    auto older = MustSubmit(engine, Greedy(model, Prompt(1, 30), 150));
    auto younger = MustSubmit(engine, Drawn(model, sampled.params));
    gate.Open();
    Collect(*older);
    EXPECT_EQ(Collect(*younger).tokens, Alone(OneLayer(), sampled.params)) << sampled.name;
    EXPECT_GE(younger->stats().preemptions, 1) << sampled.name;
  }
}

TEST(Sampling, GuessingAheadChangesNoToken) {
  FakeModel::Options forgetful = OneLayer();
  forgetful.forgetful = true;
  for (const Case& sampled : Cases()) {
    FakeHost host;
    auto model = FakeModel::Make(host, forgetful);
    Engine engine(host.clock);
    sample::Params params = sampled.params;
    params.temperature = 0.4f;  // so that guesses come true
    params.dry_allowed_length = 6;
    params.xtc_probability *= 0.2f;
    RequestOptions options = Drawn(model, params);
    options.most_guesses = 4;
    auto request = MustSubmit(engine, std::move(options));
    EXPECT_EQ(Collect(*request).tokens, Alone(forgetful, params)) << sampled.name;
    EXPECT_GT(request->stats().guessed_tokens, 0) << sampled.name;
  }
}

TEST(Sampling, MirostatRemembersFromTokenToToken) {
  sample::Params params = Cases()[1].params;
  const std::vector<int32_t> steered = Alone(OneLayer(), params);
  params.mirostat_eta = 0;
  EXPECT_NE(steered, Alone(OneLayer(), params));
}

TEST(Sampling, SamplesOfOnePromptDiffer) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  std::vector<std::vector<int32_t>> answers;
  for (const uint32_t index : {0u, 1u, 0u}) {
    RequestOptions options = Drawn(model, Cases()[0].params);
    options.sample_index = index;
    answers.push_back(Collect(*MustSubmit(engine, std::move(options))).tokens);
  }
  EXPECT_NE(answers[0], answers[1]);
  EXPECT_EQ(answers[0], answers[2]);
}

TEST(Sampling, NoStopTokenIsDrawnBeforeMinTokens) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  const auto ask = [&](int64_t min_tokens) {
    RequestOptions options = Greedy(model, Prompt(6, 12), 30);
    options.stop_tokens = {8, 9};
    options.sampling.logit_bias = {{8, 1e6f}};
    options.min_tokens = min_tokens;
    return Collect(*MustSubmit(engine, std::move(options)));
  };
  EXPECT_EQ(ask(0).tokens, std::vector<int32_t>{8});
  const Outcome outcome = ask(5);
  EXPECT_EQ(outcome.finish, Finish::kStop);
  ASSERT_EQ(outcome.tokens.size(), 6u);
  EXPECT_EQ(outcome.tokens.back(), 8);
  for (size_t i = 0; i < 5; ++i) EXPECT_TRUE(outcome.tokens[i] != 8 && outcome.tokens[i] != 9);
}

TEST(Sampling, MinTokensAboveMaxTokensIsRefused) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  for (const int64_t least : {int64_t{-1}, int64_t{31}}) {
    RequestOptions options = Greedy(model, Prompt(6, 12), 30);
    options.min_tokens = least;
    const auto refused = engine.Submit(std::move(options));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message,
              "min_tokens is " + std::to_string(least) + ", expected 0 to max_tokens, 30");
  }
}

TEST(Sampling, ARequestWithNoTokenLeftFailsAndSaysWhatForbidsThem) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  RequestOptions options = Greedy(model, Prompt(6, 12), 30);
  options.stop_tokens = {8};
  options.sampling.allowed_tokens = {8};
  options.min_tokens = 2;
  const Outcome outcome = Collect(*MustSubmit(engine, std::move(options)));
  EXPECT_EQ(outcome.finish, Finish::kError);
  EXPECT_EQ(outcome.error.code, Code::kInvalidArgument);
  EXPECT_EQ(outcome.error.message,
            "every one of the 97 tokens is forbidden by allowed_tokens, min_tokens");
  EXPECT_TRUE(outcome.tokens.empty());
}

}  // namespace
}  // namespace mirage::engine
