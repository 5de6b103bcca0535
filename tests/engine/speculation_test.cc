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

// ---- with a draft model ----

// A model that says the same, but for one past in `errs`, and knows `vocabulary` tokens.
std::shared_ptr<FakeModel> Small(FakeHost& host, uint64_t errs, int32_t vocabulary = 97) {
  FakeModel::Options options;
  options.errs = errs;
  options.vocabulary = vocabulary;
  return FakeModel::Make(host, std::move(options));
}

RequestOptions Drafting(RequestOptions options, const std::shared_ptr<ModelRunner>& draft,
                        int64_t most = 8) {
  options.most_guesses = most;
  options.draft_model = draft;
  options.queue_capacity = 1000;  // a full queue would cut guesses short
  return options;
}

TEST(DraftModel, ThatIsAlwaysRightLeavesOnePassInNine) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  auto draft = Small(host, 0);
  Engine engine(host.clock, {.check_invariants = true});
  auto request = MustSubmit(engine, Drafting(Greedy(model, Prompt(1, 200), 400), draft));
  EXPECT_EQ(Collect(*request).tokens, model->Continue(Prompt(1, 200), 400));
  const RequestStats stats = request->stats();
  EXPECT_EQ(stats.guessed_tokens, stats.accepted_tokens);
  EXPECT_LT(model->passes, 70);
  // What it had computed of the guesses is not computed again.
  EXPECT_LE(draft->tokens_computed, 200 + 400);
  EXPECT_EQ(draft->broken_pages, 0);
  request.reset();
  ExpectOnlyPrefixesHeld(host, {model, draft});
}

TEST(DraftModel, ThatErrsCostsNoToken) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  auto draft = Small(host, 3);
  Engine engine(host.clock, {.check_invariants = true});
  auto request = MustSubmit(engine, Drafting(Greedy(model, Prompt(1, 50), 600), draft));
  EXPECT_EQ(Collect(*request).tokens, model->Continue(Prompt(1, 50), 600));
  const RequestStats stats = request->stats();
  EXPECT_GT(stats.accepted_tokens, 200);
  EXPECT_LT(stats.accepted_tokens, stats.guessed_tokens);
  EXPECT_EQ(draft->broken_pages, 0);
  EXPECT_EQ(model->broken_pages, 0);
}

// The same random number decides both draws.
TEST(DraftModel, GuessesWhatIsDrawnAtAnyTemperature) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  auto draft = Small(host, 0);
  Engine engine(host.clock);
  for (const int32_t mirostat : {0, 2}) {
    std::vector<std::vector<int32_t>> answers;
    for (const bool drafting : {false, true}) {
      RequestOptions options = Greedy(model, Prompt(3, 20), 200);
      if (drafting) options = Drafting(std::move(options), draft);
      options.sampling.temperature = 1.5f;
      options.sampling.seed = 11;
      options.sampling.repeat_penalty = 1.1f;
      options.sampling.mirostat = mirostat;
      auto request = MustSubmit(engine, std::move(options));
      answers.push_back(Collect(*request).tokens);
      EXPECT_EQ(request->stats().guessed_tokens, request->stats().accepted_tokens);
      EXPECT_EQ(request->stats().accepted_tokens > 150, drafting);
    }
    EXPECT_EQ(answers[0], answers[1]);
  }
}

TEST(DraftModel, MayKnowFewerOrMoreTokens) {
  for (const int32_t vocabulary : {90, 104}) {
    FakeHost host;
    auto model = FakeModel::Make(host);
    auto draft = Small(host, 0, vocabulary);
    Engine engine(host.clock);
    // Prompt tokens that both know.
    std::vector<int32_t> prompt = Prompt(1, 30);
    for (int32_t& token : prompt) token %= 90;
    auto request = MustSubmit(engine, Drafting(Greedy(model, prompt, 200), draft));
    EXPECT_EQ(Collect(*request).tokens, model->Continue(prompt, 200)) << vocabulary;
    EXPECT_GT(request->stats().accepted_tokens, 0) << vocabulary;
  }
}

TEST(DraftModel, IsNotAskedWhatFollowsATokenItDoesNotKnow) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  auto draft = Small(host, 0, 90);
  Engine engine(host.clock);
  std::vector<int32_t> prompt = {1, 95, 2};
  auto request = MustSubmit(engine, Drafting(Greedy(model, prompt, 50), draft));
  EXPECT_EQ(Collect(*request).tokens, model->Continue(prompt, 50));
  EXPECT_EQ(draft->passes, 0);
}

TEST(DraftModel, WhoseContextEndsGuessesNoMore) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  FakeModel::Options options;
  options.context = 100;
  auto draft = FakeModel::Make(host, options);
  Engine engine(host.clock);
  auto request = MustSubmit(engine, Drafting(Greedy(model, Prompt(1, 50), 200), draft));
  EXPECT_EQ(Collect(*request).tokens, model->Continue(Prompt(1, 50), 200));
  EXPECT_GT(request->stats().accepted_tokens, 30);
  EXPECT_LE(request->stats().accepted_tokens, 50);
}

TEST(DraftModel, ThatFailsEndsOnlyTheGuessing) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  FakeModel::Options options;
  int passes = 0;
  options.begin = [&](std::span<const Slice>) -> Status {
    if (++passes > 5) return Fail(Code::kIo, "cannot be read");
    return {};
  };
  auto draft = FakeModel::Make(host, options);
  Engine engine(host.clock, {.check_invariants = true});
  auto request = MustSubmit(engine, Drafting(Greedy(model, Prompt(1, 50), 200), draft));
  const Outcome outcome = Collect(*request);
  EXPECT_EQ(outcome.finish, Finish::kLength);
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(1, 50), 200));
  EXPECT_EQ(passes, 6);
  request.reset();
  ExpectOnlyPrefixesHeld(host, {model, draft});
}

TEST(DraftModel, FindsInTheNextTurnWhatItComputedInTheLast) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  auto draft = Small(host, 0);
  Engine engine(host.clock);
  const auto sequence = std::make_shared<Sequence>(model);
  Collect(*MustSubmit(engine, Drafting(GreedyOn(sequence, Prompt(1, 500), 100), draft)));
  const int64_t before = draft->tokens_computed;
  Collect(*MustSubmit(engine, Drafting(GreedyOn(sequence, Prompt(2, 10), 100), draft)));
  EXPECT_LT(draft->tokens_computed - before, 10 + 100 + 64);
}

TEST(DraftModel, ShiftsWithTheContext) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  auto draft = Small(host, 5);
  Engine engine(host.clock, {.check_invariants = true});
  std::vector<std::vector<int32_t>> answers;
  for (const bool drafting : {false, true}) {
    const auto sequence = std::make_shared<Sequence>(model, 100);
    RequestOptions options = GreedyOn(sequence, Prompt(1, 60), 300);
    if (drafting) options = Drafting(std::move(options), draft);
    options.shift_keep = 20;
    answers.push_back(Collect(*MustSubmit(engine, std::move(options))).tokens);
  }
  EXPECT_EQ(answers[0], answers[1]);
  EXPECT_EQ(draft->broken_pages, 0);
}

// Its pages are the first to go.
TEST(DraftModel, GivesWayWhenPagesRunOut) {
  FakeHost host(30 * FakeModel::kPageBytes);  // the request needs 3 * 7 at its end
  FakeModel::Options options;
  options.geometry = FakeModel::Attention();
  auto model = FakeModel::Make(host, options);
  auto draft = FakeModel::Make(host, options);
  Engine engine(host.clock, {.check_invariants = true});
  auto request = MustSubmit(engine, Drafting(Greedy(model, Prompt(1, 40), 180), draft));
  const Outcome outcome = Collect(*request);
  EXPECT_EQ(outcome.finish, Finish::kLength) << outcome.error.message;
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(1, 40), 180));
  EXPECT_EQ(request->stats().preemptions, 0);
  EXPECT_GT(request->stats().accepted_tokens, 20);
  request.reset();
  ExpectOnlyPrefixesHeld(host, {model, draft});
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
