// SPDX-License-Identifier: Apache-2.0
// Guessing ahead changes how many passes an answer takes, and nothing else.

#include <random>

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

// A model whose answers soon go in circles, so that guesses come true.
std::shared_ptr<FakeModel> Repetitive(FakeHost& host) {
  FakeModel::Options options;
  options.forgetful = true;
  return FakeModel::Make(host, std::move(options));
}

RequestOptions Guessing(RequestOptions options, int64_t most) {
  options.most_guesses = most;
  return options;
}

TEST(Speculation, TakesFewerPassesWhereTheAnswerRepeatsItself) {
  FakeHost host;
  auto model = Repetitive(host);
  Engine engine(host.clock);
  RequestOptions options = Guessing(Greedy(model, Prompt(1, 10), 400), 8);
  options.queue_capacity = 500;  // a full queue would cut guesses short
  auto request = MustSubmit(engine, std::move(options));
  const Outcome outcome = Collect(*request);
  EXPECT_EQ(outcome.finish, Finish::kLength);
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(1, 10), 400));
  EXPECT_LT(model->passes, 150);
  const RequestStats stats = request->stats();
  EXPECT_EQ(stats.output_tokens, 400);
  EXPECT_GT(stats.accepted_tokens, 200);
  EXPECT_GE(stats.guessed_tokens, stats.accepted_tokens);
  EXPECT_EQ(static_cast<int64_t>(outcome.tokens.size()), model->passes + stats.accepted_tokens);
}

TEST(Speculation, OffByDefault) {
  FakeHost host;
  auto model = Repetitive(host);
  Engine engine(host.clock);
  auto request = MustSubmit(engine, Greedy(model, Prompt(1, 10), 100));
  Collect(*request);
  EXPECT_EQ(model->passes, 100);
  EXPECT_EQ(request->stats().guessed_tokens, 0);
}

TEST(Speculation, WrongGuessesLeaveNothingBehind) {
  FakeHost host;
  auto model = FakeModel::Make(host);  // remembers everything, so hardly any guess comes true
  Engine engine(host.clock);
  // A prompt that repeats itself invites guesses.
  std::vector<int32_t> prompt;
  for (int i = 0; i < 60; ++i) prompt.push_back(i % 3);
  auto request = MustSubmit(engine, Guessing(Greedy(model, prompt, 300), 8));
  EXPECT_EQ(Collect(*request).tokens, model->Continue(prompt, 300));
  EXPECT_GT(request->stats().guessed_tokens, request->stats().accepted_tokens);
  EXPECT_EQ(model->broken_pages, 0);
  request.reset();
  ExpectOnlyPrefixesHeld(host, {model});
}

TEST(Speculation, SampledTokensAreTheSameToo) {
  FakeHost host;
  auto model = Repetitive(host);
  Engine engine(host.clock);
  for (const float temperature : {0.3f, 1.0f, 1.7f}) {
    std::vector<std::vector<int32_t>> answers;
    for (const int64_t guesses : {0, 1, 5, 15}) {
      RequestOptions options = Guessing(Greedy(model, Prompt(3, 20), 200), guesses);
      options.sampling.temperature = temperature;
      options.sampling.seed = 11;
      options.sampling.repeat_penalty = 1.1f;
      answers.push_back(Collect(*MustSubmit(engine, std::move(options))).tokens);
    }
    for (const auto& answer : answers) EXPECT_EQ(answer, answers[0]) << temperature;
  }
}

// Limits fall on the same token: the length, the context, a stop token in the middle of the
// guesses.
TEST(Speculation, EndsWhereItWouldHaveEnded) {
  FakeHost host;
  auto model = Repetitive(host);
  Engine engine(host.clock);
  const std::vector<int32_t> prompt = Prompt(1, 10);
  for (const int64_t count : {1, 2, 3, 17, 100, 101}) {
    const Outcome outcome = Collect(*MustSubmit(engine, Guessing(Greedy(model, prompt, count), 8)));
    EXPECT_EQ(outcome.tokens, model->Continue(prompt, count));
    EXPECT_EQ(outcome.finish, Finish::kLength);
  }
  RequestOptions short_context = Guessing(Greedy(model, prompt, -1), 8);
  short_context.sequence = std::make_shared<Sequence>(model, 75);
  const auto sequence = short_context.sequence;
  EXPECT_EQ(Collect(*MustSubmit(engine, std::move(short_context))).tokens,
            model->Continue(prompt, 65));
  EXPECT_EQ(sequence->length(), 75);

  const std::vector<int32_t> whole = model->Continue(prompt, 300);
  RequestOptions stops = Guessing(Greedy(model, prompt, 300), 8);
  const int32_t last = whole[150];
  stops.stop_tokens = {last};
  const Outcome stopped = Collect(*MustSubmit(engine, std::move(stops)));
  EXPECT_EQ(stopped.finish, Finish::kStop);
  EXPECT_EQ(stopped.tokens.back(), last);
  EXPECT_EQ(stopped.tokens,
            std::vector<int32_t>(whole.begin(), std::find(whole.begin(), whole.end(), last) + 1));
}

TEST(Speculation, ASlowReaderPausesItWithoutLoss) {
  FakeHost host;
  auto model = Repetitive(host);
  Engine engine(host.clock);
  RequestOptions options = Guessing(Greedy(model, Prompt(1, 10), 200), 8);
  options.queue_capacity = 3;
  EXPECT_EQ(Collect(*MustSubmit(engine, std::move(options))).tokens,
            model->Continue(Prompt(1, 10), 200));
}

// Guessing or not, in company or alone, with memory short.
class SpeculationSeeds : public testing::TestWithParam<int> {};

TEST_P(SpeculationSeeds, TokensDependOnNothingElse) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  FakeHost host(GetParam() % 2 == 0 ? UINT64_MAX : 40 * FakeModel::kPageBytes);
  auto model = GetParam() % 3 == 0 ? FakeModel::Make(host) : Repetitive(host);
  Engine engine(host.clock);
  struct Case {
    std::vector<int32_t> prompt;
    int64_t count;
    std::shared_ptr<Request> request;
  };
  std::vector<Case> cases;
  for (int i = 0; i < 16; ++i)
    cases.push_back({Prompt(i, 1 + below(150)), 1 + below(120), nullptr});
  for (Case& c : cases)
    c.request = MustSubmit(engine, Guessing(Greedy(model, c.prompt, c.count), below(16)));
  for (Case& c : cases) {
    const Outcome outcome = Collect(*c.request);
    EXPECT_EQ(outcome.finish, Finish::kLength) << outcome.error.message;
    EXPECT_EQ(outcome.tokens, model->Continue(c.prompt, c.count));
    c.request.reset();
  }
  EXPECT_EQ(model->broken_pages, 0);
  ExpectOnlyPrefixesHeld(host, {model});
}

INSTANTIATE_TEST_SUITE_P(Seeds, SpeculationSeeds, testing::Range(0, 12));

}  // namespace
}  // namespace mirage::engine
