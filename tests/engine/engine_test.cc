// SPDX-License-Identifier: Apache-2.0
// The engine's ordinary life: tokens are the model's alone, whatever shares their steps.

#include "engine/engine.h"

#include <random>

#include "tests/engine/blocker.h"

namespace mirage::engine {
namespace {

TEST(Engine, GreedyTokensAreTheModelsOwn) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  auto request = MustSubmit(engine, Greedy(model, Prompt(1, 10), 50));
  const Outcome outcome = Collect(*request);
  EXPECT_EQ(outcome.finish, Finish::kLength);
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(1, 10), 50));
  EXPECT_EQ(model->broken_pages, 0);
}

TEST(Engine, APromptLongerThanAStepIsComputedInParts) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  const std::vector<int32_t> prompt = Prompt(2, 3 * 64 + 5);
  const Outcome outcome = Collect(*MustSubmit(engine, Greedy(model, prompt, 3)));
  EXPECT_EQ(outcome.tokens, model->Continue(prompt, 3));
  EXPECT_EQ(model->passes, 4 + 2);
  EXPECT_EQ(model->tokens_computed, 3 * 64 + 5 + 2);
  EXPECT_EQ(engine.Stats().prompt_tokens, 3u * 64 + 5);
}

// Greedy and sampled requests of all lengths, submitted in an order and at moments of the seed's
// choosing.
class Batching : public testing::TestWithParam<int> {};

TEST_P(Batching, TokensDependOnNeitherArrivalNorCompanyNorPreemption) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  // Seed 0 has all the memory there is; the others too little for everybody.
  FakeHost host(GetParam() == 0 ? UINT64_MAX : 40 * FakeModel::kPageBytes);
  auto model = FakeModel::Make(host);
  Engine engine(host.clock, {.check_invariants = true});
  struct Case {
    std::vector<int32_t> prompt;
    int64_t count;
    std::shared_ptr<Request> request;
  };
  std::vector<Case> cases;
  for (int i = 0; i < 24; ++i) cases.push_back({Prompt(i, 1 + below(150)), 1 + below(60), nullptr});
  std::shuffle(cases.begin(), cases.end(), random);
  // The first half competes from the start; the others arrive while those run.
  Blocker blocker(host, engine);
  for (size_t i = 0; i < cases.size(); ++i) {
    if (i == cases.size() / 2) blocker.gate.Open();
    cases[i].request = MustSubmit(engine, Greedy(model, cases[i].prompt, cases[i].count));
    if (i >= cases.size() / 2 && below(3) == 0)
      std::this_thread::sleep_for(std::chrono::microseconds(below(500)));
  }
  Collect(*blocker.request);
  blocker.request.reset();
  int64_t preemptions = 0;
  int64_t waits = 0;
  for (Case& c : cases) {
    const Outcome outcome = Collect(*c.request);
    EXPECT_EQ(outcome.finish, Finish::kLength) << outcome.error.message;
    EXPECT_EQ(outcome.tokens, model->Continue(c.prompt, c.count));
    preemptions += c.request->stats().preemptions;
    waits += c.request->stats().waits_for_pages;
    c.request.reset();
  }
  EXPECT_EQ(model->broken_pages, 0);
  EXPECT_EQ(model->overlapping_passes, 0);
  ExpectOnlyPrefixesHeld(host, {model, blocker.model});
  if (GetParam() == 0) {
    EXPECT_EQ(preemptions + waits, 0);
  } else {
    EXPECT_GT(preemptions + waits, 0) << "memory was never short";
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Batching, testing::Range(0, 8));

TEST(Engine, DrawnTokensDependOnTheirSeedAndNotOnCompany) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  const auto drawn = [&](uint64_t seed) {
    RequestOptions options = Greedy(model, Prompt(3, 20), 40);
    options.sampling = {};
    options.sampling.temperature = 1.3f;
    options.sampling.seed = seed;
    return options;
  };
  std::vector<std::vector<int32_t>> alone;
  for (const uint64_t seed : {11u, 12u}) {
    Engine engine(host.clock);
    alone.push_back(Collect(*MustSubmit(engine, drawn(seed))).tokens);
  }
  EXPECT_NE(alone[0], alone[1]);
  Engine engine(host.clock);
  std::vector<std::shared_ptr<Request>> company;
  for (int i = 0; i < 6; ++i)
    company.push_back(MustSubmit(engine, Greedy(model, Prompt(i, 100), 30)));
  auto second = MustSubmit(engine, drawn(12));
  auto first = MustSubmit(engine, drawn(11));
  EXPECT_EQ(Collect(*first).tokens, alone[0]);
  EXPECT_EQ(Collect(*second).tokens, alone[1]);
}

TEST(Engine, EightStreamsShareEveryPass) {
  FakeHost host;
  Gate gate;
  FakeModel::Options options;
  options.begin = [&](auto) -> Status {
    gate.Pass();
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  std::vector<std::shared_ptr<Request>> requests;
  requests.push_back(MustSubmit(engine, Greedy(model, Prompt(0, 8), 30)));
  gate.AwaitArrival();
  for (int i = 1; i < 8; ++i)
    requests.push_back(MustSubmit(engine, Greedy(model, Prompt(i, 2), 30)));
  gate.Open();
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(Collect(*requests[static_cast<size_t>(i)]).tokens,
              model->Continue(Prompt(i, i == 0 ? 8 : 2), 30));
  // One prompt alone, seven beside its first decode, then all in step.
  EXPECT_EQ(model->passes, 31);
}

TEST(Engine, ASecondTurnComputesOnlyWhatIsNew) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  std::vector<int32_t> history = Prompt(4, 100);
  auto first = MustSubmit(engine, GreedyOn(sequence, history, 10));
  const Outcome outcome = Collect(*first);
  history.insert(history.end(), outcome.tokens.begin(), outcome.tokens.end());
  EXPECT_EQ(sequence->tokens(), history);
  EXPECT_EQ(sequence->cached_length(), 109);  // the newest token was never computed

  const int64_t computed = model->tokens_computed;
  const std::vector<int32_t> more = Prompt(5, 7);
  history.insert(history.end(), more.begin(), more.end());
  auto second = MustSubmit(engine, GreedyOn(sequence, more, 5));
  EXPECT_EQ(Collect(*second).tokens, model->Continue(history, 5));
  EXPECT_EQ(model->tokens_computed - computed, 1 + 7 + 4);
  EXPECT_EQ(second->stats().cached_tokens, 109);
  EXPECT_EQ(second->stats().prompt_tokens, 7);
}

TEST(Engine, ATurnWithoutAPromptGoesOnWhereTheLastOneStopped) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  std::vector<int32_t> tokens =
      Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(1, 9), 6))).tokens;
  const Outcome more = Collect(*MustSubmit(engine, GreedyOn(sequence, {}, 6)));
  tokens.insert(tokens.end(), more.tokens.begin(), more.tokens.end());
  EXPECT_EQ(tokens, model->Continue(Prompt(1, 9), 12));
}

TEST(Engine, ATruncatedSequenceGoesOnAsIfTheRestHadNeverBeen) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(1, 300), 20)));
  for (const int64_t keep : {310, 250, 33, 1}) {  // within the window, past it, far past it
    ASSERT_TRUE(sequence->Truncate(keep));
    std::vector<int32_t> history = sequence->tokens();
    ASSERT_EQ(static_cast<int64_t>(history.size()), keep);
    EXPECT_EQ(Collect(*MustSubmit(engine, GreedyOn(sequence, {}, 4))).tokens,
              model->Continue(history, 4));
    ASSERT_TRUE(sequence->Truncate(keep));
  }
  EXPECT_EQ(model->broken_pages, 0);
}

TEST(Engine, AStopTokenEndsTheRequestAndIsToldApart) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  const std::vector<int32_t> expected = model->Continue(Prompt(6, 12), 30);
  RequestOptions options = Greedy(model, Prompt(6, 12), 30);
  options.stop_tokens = {expected[7]};
  const auto at = std::find(expected.begin(), expected.end(), expected[7]) - expected.begin();
  auto request = MustSubmit(engine, std::move(options));
  std::vector<int32_t> tokens;
  for (;;) {
    auto output = request->Next(kHang);
    ASSERT_TRUE(output);
    if (output->kind == Output::Kind::kDone) {
      EXPECT_EQ(output->finish, Finish::kStop);
      break;
    }
    tokens.push_back(output->choice.token);
    EXPECT_EQ(output->stop_token, output->choice.token == expected[7]);
  }
  EXPECT_EQ(static_cast<int64_t>(tokens.size()), at + 1);
  EXPECT_EQ(request->Next(kHang)->kind, Output::Kind::kDone);  // again
}

TEST(Engine, AStopRuleSeesEveryTokenInOrderAndEndsTheRequest) {
  struct Rule final : StopRule {
    explicit Rule(std::vector<int32_t>* seen_tokens) : seen(seen_tokens) {}
    bool Push(int32_t token) override {
      seen->push_back(token);
      return seen->size() == 5;
    }
    std::vector<int32_t>* seen;
  };
  FakeHost host;
  auto model = FakeModel::Make(host);
  std::vector<int32_t> seen;
  Engine engine(host.clock);
  RequestOptions options = Greedy(model, Prompt(6, 12), 30);
  options.stop_rule = std::make_unique<Rule>(&seen);
  const Outcome outcome = Collect(*MustSubmit(engine, std::move(options)));
  EXPECT_EQ(outcome.finish, Finish::kStop);
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(6, 12), 5));
  EXPECT_EQ(seen, outcome.tokens);
}

TEST(Engine, AFullContextEndsTheRequest) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model, 40);
  const Outcome outcome = Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(1, 30), -1)));
  EXPECT_EQ(outcome.finish, Finish::kLength);
  EXPECT_EQ(outcome.tokens.size(), 10u);
  EXPECT_EQ(sequence->length(), 40);
  auto refused = engine.Submit(GreedyOn(sequence, {}, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kContextFull);
}

TEST(Engine, LogprobsAreTheModels) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  RequestOptions options = Greedy(model, Prompt(6, 12), 5);
  options.logprobs = 3;
  auto request = MustSubmit(engine, std::move(options));
  std::vector<int32_t> history = Prompt(6, 12);
  for (int i = 0; i < 5; ++i) {
    auto output = request->Next(kHang);
    ASSERT_TRUE(output);
    ASSERT_EQ(output->choice.top.size(), 3u);
    EXPECT_NEAR(output->choice.logprob, model->LogprobOf(history, output->choice.token), 1e-5);
    EXPECT_EQ(output->choice.top[0].token, output->choice.token);
    history.push_back(output->choice.token);
  }
}

TEST(Engine, RefusesWhatCannotRunAndLeavesTheSequenceIdle) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model, 50);
  const auto refusal = [&](RequestOptions options) {
    auto request = engine.Submit(std::move(options));
    EXPECT_FALSE(request);
    EXPECT_FALSE(sequence->busy());
    EXPECT_EQ(sequence->length(), 0);
    return request ? Code::kOk : request.error().code;
  };
  EXPECT_EQ(refusal(GreedyOn(sequence, {}, 5)), Code::kInvalidArgument);
  EXPECT_EQ(refusal(GreedyOn(sequence, {97}, 5)), Code::kInvalidArgument);
  EXPECT_EQ(refusal(GreedyOn(sequence, {3, -1}, 5)), Code::kInvalidArgument);
  EXPECT_EQ(refusal(GreedyOn(sequence, {3}, 0)), Code::kInvalidArgument);
  EXPECT_EQ(refusal(GreedyOn(sequence, {3}, -2)), Code::kInvalidArgument);
  EXPECT_EQ(refusal(GreedyOn(sequence, Prompt(1, 50), 5)), Code::kContextFull);
  RequestOptions bad_sampling = GreedyOn(sequence, {3}, 5);
  bad_sampling.sampling.top_p = NAN;
  EXPECT_EQ(refusal(std::move(bad_sampling)), Code::kInvalidArgument);
  EXPECT_EQ(Collect(*MustSubmit(engine, GreedyOn(sequence, {3}, 5))).finish, Finish::kLength);
}

TEST(Engine, ASequenceHasOneRequestAtATime) {
  FakeHost host;
  Gate gate;
  FakeModel::Options model_options;
  model_options.begin = [&](auto) -> Status {
    gate.Pass();
    return {};
  };
  auto model = FakeModel::Make(host, model_options);
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  auto request = MustSubmit(engine, GreedyOn(sequence, {1, 2, 3}, 5));
  EXPECT_TRUE(sequence->busy());
  auto second = engine.Submit(GreedyOn(sequence, {4}, 5));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kBusy);
  EXPECT_EQ(sequence->Truncate(0).error().code, Code::kBusy);
  EXPECT_EQ(sequence->length(), 3);
  gate.Open();
  Collect(*request);
  EXPECT_FALSE(sequence->busy());
  EXPECT_TRUE(sequence->Truncate(0));
}

TEST(Engine, ModelsTakeTurns) {
  FakeHost host;
  std::vector<int> turns;  // the engine thread's
  Gate gate;
  const auto options = [&](int which) {
    FakeModel::Options result;
    result.salt = static_cast<uint64_t>(which);
    result.begin = [&, which](auto) -> Status {
      gate.Pass();
      turns.push_back(which);
      return {};
    };
    return result;
  };
  auto first = FakeModel::Make(host, options(1));
  auto second = FakeModel::Make(host, options(2));
  Engine engine(host.clock);
  auto a = MustSubmit(engine, Greedy(first, Prompt(1, 5), 20));
  gate.AwaitArrival();
  auto b = MustSubmit(engine, Greedy(second, Prompt(1, 5), 20));
  auto c = MustSubmit(engine, Greedy(first, Prompt(2, 5), 20));
  gate.Open();
  EXPECT_EQ(Collect(*a).tokens, first->Continue(Prompt(1, 5), 20));
  EXPECT_EQ(Collect(*b).tokens, second->Continue(Prompt(1, 5), 20));
  EXPECT_EQ(Collect(*c).tokens, first->Continue(Prompt(2, 5), 20));
  ASSERT_GE(turns.size(), 40u);
  for (size_t i = 0; i < 40; ++i) EXPECT_EQ(turns[i], i % 2 == 0 ? 1 : 2) << "step " << i;
}

TEST(Engine, IdleItCountsNoRunningRequests) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  Collect(*MustSubmit(engine, Greedy(model, Prompt(1, 5), 20)));
  EXPECT_EQ(engine.Stats().running, 0u);
  EXPECT_EQ(engine.Stats().decode_tokens, 19u);
}

}  // namespace
}  // namespace mirage::engine
