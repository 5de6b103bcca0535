// SPDX-License-Identifier: Apache-2.0
// The swap policy: pages go to a slower tier and come back; what is lost there is computed again.

#include "tests/engine/blocker.h"
#include "tests/engine/engine_test.h"
#include "tests/engine/ram_swap_space.h"

namespace mirage::engine {
namespace {

constexpr int kRequests = 5;

struct Ran {
  int64_t preemptions = 0;
  int64_t tokens_computed = 0;
  EngineStats stats;
};

// Requests that fit at first and then grow. Without prefixes, so that what is lost is computed.
Ran RunAll(const ShortagePolicy& policy, memory::SwapSpace* swap,
           kv::Geometry geometry = FakeModel::Attention()) {
  FakeHost host(30 * kPage);
  FakeHost elsewhere;
  FakeModel::Options model_options;
  model_options.geometry = std::move(geometry);
  auto model = FakeModel::Make(host, model_options);
  EngineOptions options = With(policy, swap);
  options.check_invariants = true;
  Ran ran;
  {
    Engine engine(host.clock, options);
    Blocker blocker(elsewhere, engine);
    std::vector<std::shared_ptr<Request>> requests;
    for (int i = 0; i < kRequests; ++i) {
      RequestOptions request = Greedy(model, Prompt(i, 40), 100 + 10 * i);
      PrefixSharing sharing;
      sharing.enabled = false;
      request.sequence = std::make_shared<Sequence>(model, 0, sharing);
      requests.push_back(MustSubmit(engine, std::move(request)));
    }
    blocker.gate.Open();
    for (int i = 0; i < kRequests; ++i) {
      Request& request = *requests[static_cast<size_t>(i)];
      EXPECT_EQ(Collect(request).tokens, model->Continue(Prompt(i, 40), 100 + 10 * i));
      ran.preemptions += request.stats().preemptions;
    }
    ran.stats = engine.Stats();
  }
  EXPECT_EQ(model->broken_pages, 0);
  ran.tokens_computed = model->tokens_computed;
  ExpectOnlyPrefixesHeld(host, {model});
  return ran;
}

// All of them and no more: nothing is computed twice.
constexpr int64_t kTokensOnce = kRequests * (40 + 100) + 10 * (0 + 1 + 2 + 3 + 4) - kRequests;

TEST(Swap, WhatComesBackIsNotComputedAgain) {
  RamSwapSpace space(1000 * kPage);
  const Ran ran = RunAll(SwapPolicy(), &space);
  EXPECT_GT(ran.preemptions, 0);
  EXPECT_EQ(ran.tokens_computed, kTokensOnce);
  EXPECT_GT(ran.stats.bytes_swapped_out, 0u);
  EXPECT_EQ(ran.stats.bytes_swapped_in, ran.stats.bytes_swapped_out);
  EXPECT_EQ(space.free_bytes(), 1000 * kPage);
  const Ran again = RunAll(RecomputePolicy(), nullptr);
  EXPECT_GT(again.tokens_computed, kTokensOnce);
}

TEST(Swap, StatesComeBackToo) {
  RamSwapSpace space(1000 * kPage);
  const Ran ran = RunAll(SwapPolicy(), &space, FakeModel::Hybrid());
  EXPECT_GT(ran.stats.bytes_swapped_in, 0u);
  EXPECT_EQ(ran.tokens_computed, kTokensOnce);
}

TEST(Swap, MovesThatTakeWhileGoOnBesideTheSteps) {
  RamSwapSpace space(1000 * kPage);
  space.MoveLate();
  const Ran ran = RunAll(SwapPolicy(), &space);
  EXPECT_GT(ran.stats.bytes_swapped_out, 0u);
  EXPECT_EQ(ran.tokens_computed, kTokensOnce);
}

TEST(Swap, WhatCannotBeWrittenIsComputedAgain) {
  RamSwapSpace space(1000 * kPage);
  space.FailWrites();
  const Ran ran = RunAll(SwapPolicy(), &space);
  EXPECT_GT(ran.tokens_computed, kTokensOnce);
  EXPECT_EQ(ran.stats.bytes_swapped_in, 0u);
  EXPECT_EQ(space.free_bytes(), 1000 * kPage);
}

TEST(Swap, WhatCannotBeReadIsComputedAgain) {
  RamSwapSpace space(1000 * kPage);
  space.FailReads();
  const Ran ran = RunAll(SwapPolicy(), &space);
  EXPECT_GT(ran.stats.bytes_swapped_out, 0u);
  EXPECT_GT(ran.tokens_computed, kTokensOnce);
  EXPECT_EQ(ran.stats.bytes_swapped_in, 0u);
  EXPECT_EQ(space.free_bytes(), 1000 * kPage);
}

TEST(Swap, WhatTheSpaceHasNoRoomForIsComputedAgain) {
  RamSwapSpace space(2 * kPage);
  const Ran ran = RunAll(SwapPolicy(), &space);
  EXPECT_GT(ran.preemptions, 0);
  EXPECT_EQ(ran.stats.bytes_swapped_out, 0u);
  EXPECT_GT(ran.tokens_computed, kTokensOnce);
}

TEST(Swap, ARequestThatEndsWhileItsPagesAreAwayGivesItsPlaceBack) {
  RamSwapSpace space(1000 * kPage);
  space.MoveLate();
  FakeHost host(8 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  Engine engine(host.clock, With(SwapPolicy(), &space));
  FakeHost elsewhere;
  Blocker blocker(elsewhere, engine);  // so that they run together
  auto older = MustSubmit(engine, Greedy(model, Prompt(1, 30), 220));
  auto younger = MustSubmit(engine, Greedy(model, Prompt(2, 30), 220));
  blocker.gate.Open();
  ASSERT_TRUE(Eventually([&] { return younger->stats().preemptions > 0; }));
  younger->Cancel(CancelMode::kStop);
  EXPECT_EQ(Collect(*older).tokens, model->Continue(Prompt(1, 30), 220));
  Collect(*younger);
  EXPECT_EQ(space.free_bytes(), 1000 * kPage);
}

TEST(Swap, OneThatShiftsWhileItsPagesAreAwayForgetsThem) {
  RamSwapSpace space(1000 * kPage);
  FakeHost host(8 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  Engine engine(host.clock, With(SwapPolicy(), &space));
  // Its reader lets it stop just where its context is full.
  RequestOptions shifting = Greedy(model, Prompt(1, 30), 60);
  shifting.sequence = std::make_shared<Sequence>(model, 64);
  shifting.shift_keep = 4;
  shifting.queue_capacity = 34;
  auto unread = MustSubmit(engine, std::move(shifting));
  ASSERT_TRUE(Eventually([&] { return unread->stats().output_tokens >= 34; }));
  auto other = MustSubmit(engine, Greedy(model, Prompt(2, 30), 220));
  EXPECT_EQ(Collect(*other).tokens, model->Continue(Prompt(2, 30), 220));
  ASSERT_GT(unread->stats().preemptions, 0);
  EXPECT_EQ(Collect(*unread).tokens.size(), 60u);
  EXPECT_GT(unread->stats().shifts, 0);
  EXPECT_EQ(model->broken_pages, 0);
  EXPECT_EQ(space.free_bytes(), 1000 * kPage);
}

// The idle one's pages are taken while another's are away, so that it can come back.
TEST(Swap, PagesOfIdleSessionsGiveWayToWhatComesBack) {
  RamSwapSpace space(1000 * kPage);
  FakeHost host(8 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  Engine engine(host.clock, With(SwapPolicy(), &space));
  PrefixSharing alone;
  alone.enabled = false;
  const auto sequence = std::make_shared<Sequence>(model, 0, alone);
  RequestOptions older = GreedyOn(sequence, Prompt(1, 30), 200);
  older.priority = 1;
  RequestOptions younger =
      GreedyOn(std::make_shared<Sequence>(model, 0, alone), Prompt(2, 30), 200);
  auto first = MustSubmit(engine, std::move(older));
  auto second = MustSubmit(engine, std::move(younger));
  EXPECT_EQ(Collect(*first).tokens, model->Continue(Prompt(1, 30), 200));
  EXPECT_EQ(Collect(*second).tokens, model->Continue(Prompt(2, 30), 200));
  EXPECT_EQ(sequence->cached_length(), 0);
  EXPECT_EQ(space.free_bytes(), 1000 * kPage);
}

// ---- the decision ----

TEST(ShortagePolicy, HybridSwapsWhatIsDearToComputeAgain) {
  ShortageCosts costs;
  costs.token_ns = 1000;
  costs.victim_tokens = 10;
  costs.others = 3;
  costs.swap_ns = 20000;
  EXPECT_FALSE(HybridPolicy().Swaps(costs));
  costs.can_swap = true;
  EXPECT_TRUE(HybridPolicy().Swaps(costs));
  costs.swap_ns = 50000;
  EXPECT_FALSE(HybridPolicy().Swaps(costs));
}

TEST(ShortagePolicy, HybridLendsLessWherePagesCanBeSwapped) {
  ShortageCosts costs;
  costs.fill_ns = 1000;
  costs.token_ns = 1000;
  costs.steps = 10;
  costs.others = 3;
  costs.victim_tokens = 50;
  EXPECT_TRUE(HybridPolicy().Lends(costs));
  costs.can_swap = true;
  costs.swap_ns = 1000;
  EXPECT_FALSE(HybridPolicy().Lends(costs));
}

}  // namespace
}  // namespace mirage::engine
