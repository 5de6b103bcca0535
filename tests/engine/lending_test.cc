// SPDX-License-Identifier: Apache-2.0
// Weights lent to keys and values when pages run out: whose pages are kept for it, and when the
// weights come home. The tokens are the same whatever gives way.

#include "engine/policy/shortage_policy.h"
#include "tests/engine/blocker.h"
#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

// Room for six pages beside ten pages of weights.
constexpr uint64_t kWeights = 10 * kPage;

FakeModel::Options WithWeights(double fill_ns = 1) {
  FakeModel::Options options = OneLayer();
  options.weights = kWeights;
  options.fill_ns = fill_ns;
  return options;
}

uint64_t WeightsHeld(const FakeHost& host) {
  return host.ledger.Snapshot().by_owner[static_cast<size_t>(memory::Owner::kWeights)];
}

struct Ran {
  int64_t preemptions = 0;
  EngineStats stats;
};

// Two requests that fit at first and then grow until one of them does.
Ran RunTwo(const ShortagePolicy& policy, double fill_ns = 1) {
  FakeHost host(6 * kPage + kWeights);
  auto model = FakeModel::Make(host, WithWeights(fill_ns));
  FakeHost elsewhere;
  Engine engine(host.clock, With(policy));
  Blocker blocker(elsewhere, engine);
  auto older = MustSubmit(engine, Greedy(model, Prompt(1, 30), 150));
  auto younger = MustSubmit(engine, Greedy(model, Prompt(2, 30), 100));
  blocker.gate.Open();
  EXPECT_EQ(Collect(*older).tokens, model->Continue(Prompt(1, 30), 150));
  EXPECT_EQ(Collect(*younger).tokens, model->Continue(Prompt(2, 30), 100));
  EXPECT_EQ(model->broken_pages, 0);
  return {older->stats().preemptions + younger->stats().preemptions, engine.Stats()};
}

TEST(Lending, RecomputeLendsNothing) {
  const Ran ran = RunTwo(RecomputePolicy());
  EXPECT_GE(ran.preemptions, 1);
  EXPECT_EQ(ran.stats.bytes_lent, 0u);
}

TEST(Lending, RemapTakesNobodysPages) {
  const Ran ran = RunTwo(RemapPolicy());
  EXPECT_EQ(ran.preemptions, 0);
  EXPECT_GT(ran.stats.bytes_lent, 0u);
}

TEST(Lending, HybridDoesWhatCostsLess) {
  const Ran cheap = RunTwo(HybridPolicy(), 0);
  EXPECT_EQ(cheap.preemptions, 0);
  EXPECT_GT(cheap.stats.bytes_lent, 0u);
  const Ran dear = RunTwo(HybridPolicy(), 1e9);
  EXPECT_GE(dear.preemptions, 1);
}

TEST(Lending, OneAloneThatDoesNotFitBesideTheWeightsIsNotRefused) {
  for (const ShortagePolicy* policy : {&HybridPolicy(), &RemapPolicy()}) {
    FakeHost host(6 * kPage + kWeights);
    auto model = FakeModel::Make(host, WithWeights(1e9));
    Engine engine(host.clock, With(*policy));
    EXPECT_EQ(Collect(*MustSubmit(engine, Greedy(model, Prompt(1, 300), 20))).tokens,
              model->Continue(Prompt(1, 300), 20));
    EXPECT_GT(engine.Stats().bytes_lent, 0u);
  }
}

TEST(Lending, WhatDoesNotFitWithAllWeightsLentIsToldAtOnce) {
  FakeHost host(6 * kPage + kWeights);
  auto model = FakeModel::Make(host, WithWeights());
  Engine engine(host.clock, With(HybridPolicy()));
  const auto refused = engine.Submit(Greedy(model, Prompt(1, 32 * 17), 20));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOutOfMemory);
  EXPECT_EQ(refused.error().available_bytes, 16 * kPage);
  EXPECT_EQ(engine.Stats().bytes_lent, 0u);
}

// Half way home they are neither lent nor there to be lent again.
TEST(Lending, WhatComesHomeWhileARequestIsSubmittedIsNotMissed) {
  FakeHost host(6 * kPage + kWeights);
  Gate half_way;
  FakeModel::Options options = WithWeights();
  options.reviving = [&] { half_way.Pass(); };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock, With(RemapPolicy()));
  Collect(*MustSubmit(engine, Greedy(model, Prompt(1, 300), 20)));
  half_way.AwaitArrival();
  const int64_t all = 16 * 32 - 4;
  auto request = engine.Submit(Greedy(model, Prompt(2, all), 4));
  half_way.Open();
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(Collect(**request).tokens, model->Continue(Prompt(2, all), 4));
}

TEST(Lending, WeightsComeHomeWhenNobodyComputes) {
  FakeHost host(6 * kPage + kWeights);
  auto model = FakeModel::Make(host, WithWeights());
  Engine engine(host.clock, With(RemapPolicy()));
  {
    auto request = MustSubmit(engine, Greedy(model, Prompt(1, 300), 20));
    Collect(*request);
  }
  EXPECT_TRUE(Eventually([&] { return WeightsHeld(host) == kWeights; }));
  EXPECT_GT(engine.Stats().revivals, 0u);
}

TEST(Lending, WeightsComeHomeWhenASequenceGivesUpItsPages) {
  FakeHost host(6 * kPage + kWeights);
  auto model = FakeModel::Make(host, WithWeights());
  Engine engine(host.clock, With(RemapPolicy()));
  RequestOptions options = Greedy(model, Prompt(1, 16 * 32 - 4), 4);
  std::shared_ptr<Sequence> sequence = options.sequence;
  Collect(*MustSubmit(engine, std::move(options)));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // for the engine to find no room
  EXPECT_EQ(WeightsHeld(host), 0u);
  sequence.reset();
  EXPECT_TRUE(Eventually([&] { return WeightsHeld(host) == kWeights; }));
}

TEST(Lending, AModelThatNobodyUsesLendsFirst) {
  FakeHost host(6 * kPage + 2 * kWeights);
  FakeModel::Options other = WithWeights();
  other.salt = 7;
  auto idle = FakeModel::Make(host, other);
  auto model = FakeModel::Make(host, WithWeights());
  Engine engine(host.clock, With(RemapPolicy()));
  Collect(*MustSubmit(engine, Greedy(idle, Prompt(1, 10), 2)));  // known to the engine
  auto large = MustSubmit(engine, Greedy(model, Prompt(1, 300), 60));
  EXPECT_EQ(Collect(*large).tokens, model->Continue(Prompt(1, 300), 60));
  EXPECT_GT(idle->bytes_lent, 0);
  EXPECT_EQ(model->bytes_lent, 0);
}

// ---- a limit that is changed while everything runs ----

TEST(Lending, ALimitThatFallsTakesWeightsOfAModelThatNobodyUsedYetAndGivesThemBackWhenItRises) {
  FakeHost host(6 * kPage + kWeights);
  auto model = FakeModel::Make(host, WithWeights());
  Engine engine(host.clock, With(HybridPolicy()));
  engine.Know(model);
  const uint64_t ample = host.ledger.limit();
  host.ledger.SetLimit(host.ledger.Snapshot().used - 4 * kPage);
  engine.FollowLimit();
  EXPECT_TRUE(Eventually([&] { return WeightsHeld(host) == kWeights - 4 * kPage; }));
  EXPECT_EQ(host.ledger.over_limit(), 0u);
  host.ledger.SetLimit(ample);
  engine.FollowLimit();
  EXPECT_TRUE(Eventually([&] { return WeightsHeld(host) == kWeights; }));
}

TEST(Lending, TheTokensAreTheSameWhenTheLimitFallsAndRisesInTheMiddleOfAnAnswer) {
  FakeHost host(16 * kPage + kWeights);
  const uint64_t ample = host.ledger.limit();
  Engine engine(host.clock, With(HybridPolicy()));
  int64_t passes = 0;
  uint64_t least = kWeights;
  FakeModel::Options options = WithWeights(1e9);
  options.begin = [&](std::span<const Slice>) -> Status {
    ++passes;
    least = std::min(least, WeightsHeld(host));
    if (passes == 40) host.ledger.SetLimit(host.ledger.Snapshot().used - 5 * kPage);
    if (passes == 100) host.ledger.SetLimit(ample);
    if (passes == 40 || passes == 100) engine.FollowLimit();
    return {};
  };
  auto model = FakeModel::Make(host, options);
  EXPECT_EQ(Collect(*MustSubmit(engine, Greedy(model, Prompt(1, 30), 400))).tokens,
            model->Continue(Prompt(1, 30), 400));
  EXPECT_LE(least, kWeights - 5 * kPage);
  EXPECT_TRUE(Eventually([&] { return WeightsHeld(host) == kWeights; }));
  EXPECT_EQ(model->broken_pages, 0);
}

TEST(Lending, APolicyThatLendsNothingLendsNothingForALimitEither) {
  FakeHost host(16 * kPage + kWeights);
  auto model = FakeModel::Make(host, WithWeights());
  Engine engine(host.clock, With(RecomputePolicy()));
  engine.Know(model);
  host.ledger.SetLimit(kWeights / 2);
  engine.FollowLimit();
  FakeHost elsewhere;  // whose answer comes after the limit was followed
  Collect(*MustSubmit(engine, Greedy(FakeModel::Make(elsewhere), Prompt(1, 10), 2)));
  EXPECT_EQ(WeightsHeld(host), kWeights);
}

// ---- the decision ----

TEST(ShortagePolicy, LendingPaysForLongPastsAndShortFutures) {
  ShortageCosts costs;
  costs.fill_ns = 1000;
  costs.token_ns = 1000;
  costs.steps = 10;
  costs.others = 3;
  costs.victim_tokens = 5;
  EXPECT_FALSE(HybridPolicy().Lends(costs));
  costs.victim_tokens = 50;
  EXPECT_TRUE(HybridPolicy().Lends(costs));
  costs.steps = 100;
  EXPECT_FALSE(HybridPolicy().Lends(costs));
}

TEST(ShortagePolicy, WhereNobodyElseComputesThereIsNoChoice) {
  ShortageCosts costs;
  costs.fill_ns = 1e12;
  costs.steps = 1000;
  EXPECT_TRUE(HybridPolicy().Lends(costs));
}

}  // namespace
}  // namespace mirage::engine
