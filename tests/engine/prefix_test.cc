// SPDX-License-Identifier: Apache-2.0
// What sequences share: the same tokens come out, and less is computed and held for them.

#include <random>

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

FakeModel::Options OfAttention() {
  FakeModel::Options options;
  options.geometry = FakeModel::Attention();
  return options;
}

std::vector<int32_t> Join(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::shared_ptr<Sequence> Salted(const std::shared_ptr<ModelRunner>& model, std::string salt) {
  return std::make_shared<Sequence>(model, 0, PrefixSharing{true, std::move(salt)});
}

// A host, a model, an engine that checks itself.
struct Bench {
  explicit Bench(uint64_t limit = UINT64_MAX, FakeModel::Options options = {})
      : host(limit),
        model(FakeModel::Make(host, std::move(options))),
        engine(host.clock, {.check_invariants = true}) {}
  ~Bench() {
    engine.Shutdown();
    EXPECT_EQ(model->broken_pages, 0);
  }
  // Runs it to its end, and checks the tokens.
  RequestStats Run(const std::shared_ptr<Sequence>& sequence, const std::vector<int32_t>& prompt,
                   int64_t count) {
    const std::vector<int32_t> all = Join(sequence->tokens(), prompt);
    auto request = MustSubmit(engine, GreedyOn(sequence, prompt, count));
    const Outcome outcome = Collect(*request);
    EXPECT_EQ(outcome.tokens, model->Continue(all, count)) << outcome.error.message;
    return request->stats();
  }
  RequestStats Run(const std::vector<int32_t>& prompt, int64_t count) {
    return Run(std::make_shared<Sequence>(model), prompt, count);
  }

  FakeHost host;
  std::shared_ptr<FakeModel> model;
  Engine engine;
};

TEST(Prefix, APromptThatBeginsLikeAnEarlierOneComputesOnlyTheRest) {
  Bench bench;
  EXPECT_EQ(bench.Run(Join(Prompt(1, 320), Prompt(2, 10)), 3).cached_tokens, 0);
  const int64_t before = bench.model->tokens_computed;
  const RequestStats stats = bench.Run(Join(Prompt(1, 320), Prompt(3, 10)), 1);
  EXPECT_EQ(stats.cached_tokens, 320);
  EXPECT_EQ(stats.prompt_tokens, 330);
  EXPECT_EQ(bench.model->tokens_computed - before, 10);
}

TEST(Prefix, TheSamePromptAgainComputesItsLastToken) {
  Bench bench(UINT64_MAX, OfAttention());
  bench.Run(Prompt(1, 112), 1);
  const int64_t before = bench.model->tokens_computed;
  EXPECT_EQ(bench.Run(Prompt(1, 112), 1).cached_tokens, 111);
  EXPECT_EQ(bench.model->tokens_computed - before, 1);
}

TEST(Prefix, TwoThatArriveTogetherComputeTheirBeginningOnce) {
  Gate gate;
  FakeModel::Options options;
  options.begin = [&](auto) -> Status {
    gate.Pass();
    return {};
  };
  Bench bench(UINT64_MAX, options);
  auto first = MustSubmit(bench.engine, Greedy(bench.model, {5}, 1));
  gate.AwaitArrival();
  std::vector<std::shared_ptr<Request>> requests;
  for (int i = 0; i < 4; ++i)
    requests.push_back(
        MustSubmit(bench.engine, Greedy(bench.model, Join(Prompt(1, 160), Prompt(i, 5)), 2)));
  gate.Open();
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(Collect(*requests[static_cast<size_t>(i)]).tokens,
              bench.model->Continue(Join(Prompt(1, 160), Prompt(i, 5)), 2));
  Collect(*first);
  EXPECT_LE(bench.model->tokens_computed, 1 + 160 + 4 * (5 + 32 + 1));
}

TEST(Prefix, NothingCrossesFromOneSaltToAnotherNorToAPrivateSequence) {
  Bench bench(UINT64_MAX, OfAttention());
  bench.Run(Salted(bench.model, "a"), Prompt(1, 208), 1);
  EXPECT_EQ(bench.Run(Salted(bench.model, "b"), Prompt(1, 208), 1).cached_tokens, 0);
  EXPECT_EQ(bench.Run(Prompt(1, 208), 1).cached_tokens, 0);
  EXPECT_EQ(bench.Run(Salted(bench.model, "a"), Prompt(1, 208), 1).cached_tokens, 207);

  const auto hidden = [&] {
    return std::make_shared<Sequence>(bench.model, 0, PrefixSharing{false, ""});
  };
  EXPECT_EQ(bench.Run(hidden(), Prompt(2, 208), 1).cached_tokens, 0);
  EXPECT_EQ(bench.Run(hidden(), Prompt(2, 208), 1).cached_tokens, 0);
  EXPECT_EQ(bench.Run(Prompt(2, 208), 1).cached_tokens, 0);
}

TEST(Prefix, PagesKeptToBeFoundAgainAreGivenBackBeforeAnybodyWaits) {
  Bench bench(5 * kPage, OneLayer());
  for (int i = 0; i < 6; ++i) {
    const RequestStats stats = bench.Run(Prompt(i, 120), 20);  // all five pages each time
    EXPECT_EQ(stats.waits_for_pages, 0);
    EXPECT_EQ(stats.preemptions, 0);
  }
  EXPECT_EQ(bench.host.used(), 5 * kPage);
}

TEST(Prefix, ASessionThatFillsMemoryGoesOnInItsOwnLastPage) {
  Bench bench(3 * kPage, OneLayer());
  auto sequence = std::make_shared<Sequence>(bench.model);
  bench.Run(sequence, Prompt(1, 80), 2);
  EXPECT_EQ(bench.Run(sequence, Prompt(2, 5), 9).waits_for_pages, 0);  // to 96 tokens
}

// A window's pages that the sequence itself has passed do not stand in its way.
TEST(Prefix, ALongSequenceOfAWindowModelNeedsNoMoreThanItsPlan) {
  FakeModel::Options options;
  options.geometry = {{kv::CacheKind::kWindow, 48, 1, 32, {0}}};
  options.step_tokens = 32;
  const auto pages = static_cast<uint64_t>(kv::PagesFor(options.geometry[0], 1000, 32));
  Bench bench(pages * kPage, options);
  const RequestStats stats = bench.Run(Prompt(1, 200), 400);
  EXPECT_EQ(stats.waits_for_pages, 0);
  EXPECT_EQ(stats.preemptions, 0);
}

TEST(Prefix, WhatAPreemptedRequestLostIsFoundAgainAsFarAsItIsThere) {
  Bench bench(6 * kPage, OneLayer());
  auto older = MustSubmit(bench.engine, Greedy(bench.model, Prompt(1, 30), 150));
  auto younger = MustSubmit(bench.engine, Greedy(bench.model, Prompt(2, 30), 100));
  EXPECT_EQ(Collect(*older).tokens, bench.model->Continue(Prompt(1, 30), 150));
  EXPECT_EQ(Collect(*younger).tokens, bench.model->Continue(Prompt(2, 30), 100));
  EXPECT_GE(younger->stats().preemptions, 1);
  EXPECT_EQ(younger->stats().cached_tokens, 0);  // of the prompt, nothing had been computed before
}

TEST(Prefix, MemoryWantedByOthersIsGivenBack) {
  Bench bench;
  bench.Run(Prompt(1, 320), 1);
  const uint64_t held = bench.engine.PrefixBytes();
  EXPECT_EQ(held, bench.host.used());
  EXPECT_GT(bench.engine.GiveBackPrefixes(1), 0u);
  EXPECT_LT(bench.host.used(), held);
  const uint64_t left = bench.host.used();
  EXPECT_EQ(bench.engine.GiveBackPrefixes(UINT64_MAX), left);
  EXPECT_EQ(bench.host.used(), 0u);
}

TEST(Prefix, PagesOfIdleSequencesAreGivenBackAndComputedAgain) {
  Bench bench;
  const auto older = std::make_shared<Sequence>(bench.model);
  const auto newer = std::make_shared<Sequence>(bench.model);
  bench.Run(older, Prompt(1, 300), 1);
  bench.Run(newer, Prompt(2, 300), 1);
  bench.engine.GiveBackPrefixes(UINT64_MAX);
  const uint64_t both = bench.host.used();
  EXPECT_GT(both, 0u);
  bench.engine.Touch(older);
  bench.engine.GiveBackIdlePages([&] {
    bench.engine.GiveBackPrefixes(UINT64_MAX);
    return bench.host.used() < both && newer->cached_length() == 0;
  });
  EXPECT_EQ(older->cached_length(), 300);
  EXPECT_LT(bench.host.used(), both);
  bench.engine.GiveBackIdlePages([] { return false; });
  bench.engine.GiveBackPrefixes(UINT64_MAX);
  EXPECT_EQ(older->cached_length(), 0);
  EXPECT_EQ(bench.host.used(), 0u);
  bench.Run(older, Prompt(3, 10), 5);
  bench.Run(newer, Prompt(4, 10), 5);
}

TEST(Prefix, IdleSequencesKeepPagesThatOnlyTheirOwnModelCouldUse) {
  FakeHost host(uint64_t{1} << 30);
  const auto promise = memory::Promise::Make(host.ledger, uint64_t{1} << 26, "a model").value();
  FakeModel::Options options;
  options.promise = promise.get();
  const auto model = FakeModel::Make(host, std::move(options));
  Engine engine(host.clock, {.check_invariants = true});
  const auto idle = std::make_shared<Sequence>(model);
  Collect(*MustSubmit(engine, GreedyOn(idle, Prompt(1, 300), 1)));
  engine.GiveBackIdlePages([] { return false; });
  EXPECT_EQ(idle->cached_length(), 300);
  engine.Shutdown();
}

TEST(Fork, SharesPagesAndPasses) {
  Bench bench;
  auto sequence = std::make_shared<Sequence>(bench.model, 0, PrefixSharing{false, ""});
  bench.Run(sequence, Prompt(1, 100), 3);
  const uint64_t used = bench.host.used();
  const int64_t computed = bench.model->tokens_computed;
  const int64_t passes = bench.model->passes;
  auto fork = *bench.engine.Fork(*sequence);
  EXPECT_EQ(bench.host.used(), used);
  EXPECT_EQ(fork->tokens(), sequence->tokens());
  EXPECT_EQ(fork->cached_length(), sequence->cached_length());
  bench.Run(fork, Prompt(2, 3), 4);
  EXPECT_EQ(bench.host.used(), used + 3 * kPage);  // the last page of three layers
  EXPECT_EQ(bench.model->tokens_computed - computed, 1 + 3 + 3);
  EXPECT_EQ(bench.model->passes - passes, 4);
  bench.Run(sequence, Prompt(3, 5), 4);
}

TEST(Fork, OfARunningRequestHasTheTokensThereAreAndGoesItsOwnWay) {
  Bench bench;
  auto sequence = std::make_shared<Sequence>(bench.model);
  RequestOptions options = GreedyOn(sequence, Prompt(1, 50), 300);
  options.queue_capacity = 20;
  auto running = MustSubmit(bench.engine, std::move(options));
  ASSERT_TRUE(Eventually([&] { return running->stats().output_tokens >= 10; }));
  auto fork = *bench.engine.Fork(*sequence);
  const std::vector<int32_t> tokens = fork->tokens();
  ASSERT_GE(tokens.size(), 60u);
  EXPECT_EQ(std::vector(tokens.begin() + 50, tokens.end()),
            bench.model->Continue(Prompt(1, 50), static_cast<int64_t>(tokens.size()) - 50));
  EXPECT_FALSE(fork->busy());
  bench.Run(fork, Prompt(2, 7), 20);
  ASSERT_TRUE(fork->Truncate(55));
  bench.Run(fork, Prompt(3, 7), 20);
  EXPECT_EQ(Collect(*running).tokens, bench.model->Continue(Prompt(1, 50), 300));
}

TEST(Fork, OutlivesItsOriginal) {
  Bench bench;
  auto sequence = std::make_shared<Sequence>(bench.model);
  bench.Run(sequence, Prompt(1, 90), 3);
  auto fork = *bench.engine.Fork(*sequence);
  sequence.reset();
  bench.Run(fork, {}, 10);
}

// Texts that share beginnings, sequences that fork, go back, change their adapters, are cancelled
// and dropped, short of memory or not: every token is the one the model gives the sequence's own
// text.
class RandomSharing : public testing::TestWithParam<int> {};

TEST_P(RandomSharing, TokensDependOnNothingButTheTextBefore) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  FakeModel::Options options;
  options.context = 600;
  Bench bench(GetParam() % 3 == 0 ? UINT64_MAX : 70 * kPage, options);
  struct Running {
    std::shared_ptr<Sequence> sequence;
    std::vector<int32_t> text;
    int64_t count = 0;
    model::AdapterSetId adapters{};
    std::shared_ptr<Request> request;
  };
  std::vector<Running> running(6);
  int64_t cached = 0;
  for (int step = 0; step < 150; ++step) {
    Running& r = running[static_cast<size_t>(below(6))];
    if (r.request) {
      if (below(5) == 0)
        r.request->Cancel(below(2) == 0 ? CancelMode::kStop : CancelMode::kRollback);
      const Outcome outcome = Collect(*r.request);
      ASSERT_NE(outcome.finish, Finish::kError) << outcome.error.message;
      const auto want =
          bench.model->Continue(r.text, static_cast<int64_t>(outcome.tokens.size()), r.adapters);
      ASSERT_EQ(outcome.tokens, want) << "step " << step;
      cached += r.request->stats().cached_tokens;
      r.request.reset();
      continue;
    }
    const int way = below(8);
    if (!r.sequence || way == 0 || r.sequence->length() > 450) {
      const int kind = below(8);
      r.sequence = std::make_shared<Sequence>(bench.model, 0,
                                              PrefixSharing{kind != 0, kind == 1 ? "other" : ""});
    } else if (way == 1) {
      Running& other = running[static_cast<size_t>(below(6))];
      if (other.sequence) r.sequence = *bench.engine.Fork(*other.sequence);
    } else if (way == 2) {
      ASSERT_TRUE(r.sequence->Truncate(below(static_cast<int>(r.sequence->length()) + 1)));
    }
    std::vector<int32_t> prompt = Prompt(below(3), 20 + below(110));
    if (below(2) == 0) prompt = Join(prompt, Prompt(below(50), 1 + below(20)));
    if (r.sequence->length() + static_cast<int64_t>(prompt.size()) > 540) continue;
    r.text = Join(r.sequence->tokens(), prompt);
    r.count = 1 + below(40);
    RequestOptions request = GreedyOn(r.sequence, prompt, r.count);
    request.priority = below(3) - 1;
    if (below(4) == 0) r.adapters[0] = static_cast<uint8_t>(below(2));
    if (r.adapters != model::kNoAdapters)
      request.adapters =
          std::make_shared<const model::AdapterSet>(model::AdapterSet{{}, r.adapters});
    r.request = MustSubmit(bench.engine, std::move(request));
  }
  for (Running& r : running)
    if (r.request) Collect(*r.request);
  running.clear();
  EXPECT_GT(cached, 500);
  ExpectOnlyPrefixesHeld(bench.host, {bench.model});
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomSharing, testing::Range(0, 24));

}  // namespace
}  // namespace mirage::engine
