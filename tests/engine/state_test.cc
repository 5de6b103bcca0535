// SPDX-License-Identifier: Apache-2.0
// Models that keep a state: sequences go on from the last one before the place they go back to, and
// what states take gives way to what requests need. All other tests run with such models, too
// (FakeModel::DefaultGeometry).

#include <algorithm>
#include <numeric>

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

constexpr uint64_t kState = 3 * kPage;  // of three layers

FakeModel::Options Recurrent() {
  FakeModel::Options options;
  options.geometry = FakeModel::Recurrent();
  return options;
}

// A model with states alone, an engine that checks itself, and from where on each pass computed.
struct Bench {
  explicit Bench(uint64_t limit = UINT64_MAX, FakeModel::Options options = Recurrent())
      : host(limit) {
    options.begin = [this](std::span<const Slice> slices) -> Status {
      for (const Slice& slice : slices) first.push_back(slice.cache->length());
      return {};
    };
    model = FakeModel::Make(host, std::move(options));
  }
  ~Bench() {
    engine.Shutdown();
    EXPECT_EQ(model->broken_pages, 0);
  }
  [[nodiscard]] std::shared_ptr<Sequence> Private() const {
    return std::make_shared<Sequence>(model, 0, PrefixSharing{false, ""});
  }
  // Runs it to its end, and checks the tokens.
  RequestStats Run(RequestOptions options) {
    std::vector<int32_t> all = options.sequence->tokens();
    all.insert(all.end(), options.prompt.begin(), options.prompt.end());
    const int64_t count = options.max_tokens;
    first.clear();
    auto request = MustSubmit(engine, std::move(options));
    const Outcome outcome = Collect(*request);
    EXPECT_EQ(outcome.tokens, model->Continue(all, count)) << outcome.error.message;
    return request->stats();
  }

  FakeHost host;
  std::shared_ptr<FakeModel> model;
  Engine engine{host.clock, {.check_invariants = true}};
  std::vector<int64_t> first;
};

TEST(State, APromptIsFoundUpToTheLastStateBeforeItsNewestToken) {
  for (const kv::Geometry& geometry : {FakeModel::Recurrent(), FakeModel::Hybrid()}) {
    FakeModel::Options options;
    options.geometry = geometry;
    Bench bench(UINT64_MAX, options);
    bench.Run(Greedy(bench.model, Prompt(1, 112), 1));
    const int64_t before = bench.model->tokens_computed;
    EXPECT_EQ(bench.Run(Greedy(bench.model, Prompt(1, 112), 1)).cached_tokens, 96);
    EXPECT_EQ(bench.model->tokens_computed - before, 16);
    // A conversation that goes on goes on from its very end.
    std::vector<int32_t> longer = Prompt(1, 112);
    longer.push_back(5);
    EXPECT_EQ(bench.Run(Greedy(bench.model, longer, 1)).cached_tokens, 112);
  }
}

// Of 303 tokens the states after 192, 256, 288 and 302 are kept.
TEST(State, ATruncatedSequenceGoesOnFromTheLastStateBefore) {
  for (const auto& [count, cached] : std::vector<std::pair<int64_t, int64_t>>{
           {303, 302}, {302, 302}, {301, 288}, {288, 288}, {287, 256}, {200, 192}, {191, 0}}) {
    Bench bench;
    auto sequence = bench.Private();
    bench.Run(GreedyOn(sequence, Prompt(1, 300), 3));
    EXPECT_EQ(sequence->cached_length(), 302);
    ASSERT_TRUE(sequence->Truncate(count));
    EXPECT_EQ(sequence->length(), count);
    EXPECT_EQ(sequence->cached_length(), cached);
    bench.Run(GreedyOn(sequence, Prompt(2, 4), 6));
    EXPECT_EQ(bench.first.front(), cached);
  }
}

TEST(State, ACancelledRequestIsTakenBackToTheLastStateBefore) {
  Bench bench;
  auto sequence = bench.Private();
  bench.Run(GreedyOn(sequence, Prompt(1, 400), 5));
  const std::vector<int32_t> before = sequence->tokens();
  RequestOptions options = GreedyOn(sequence, Prompt(2, 70), -1);
  options.queue_capacity = 30;
  auto request = MustSubmit(bench.engine, std::move(options));
  ASSERT_TRUE(Eventually([&] { return request->stats().output_tokens == 30; }));
  request->Cancel(CancelMode::kRollback);
  Collect(*request);
  EXPECT_EQ(sequence->tokens(), before);
  EXPECT_EQ(sequence->cached_length(), 384);
  bench.Run(GreedyOn(sequence, Prompt(3, 4), 40));
}

TEST(State, AFailedPassLeavesTheOneItBeganWith) {
  Bench bench;
  auto sequence = bench.Private();
  bench.Run(GreedyOn(sequence, Prompt(1, 100), 5));
  FakeModel::Options options = Recurrent();
  options.end = [passes = 0]() mutable -> Status {
    return ++passes == 4 ? Status(Fail(Code::kDevice, "lost")) : Status();
  };
  auto model = FakeModel::Make(bench.host, options);
  auto failing = std::make_shared<Sequence>(model);
  EXPECT_EQ(Collect(*MustSubmit(bench.engine, GreedyOn(failing, Prompt(1, 100), 9))).finish,
            Finish::kError);
  EXPECT_EQ(failing->cached_length(), 101);  // two passes over the prompt and one token
  const std::vector<int32_t> tokens = failing->tokens();
  EXPECT_EQ(Collect(*MustSubmit(bench.engine, GreedyOn(failing, {}, 30))).tokens,
            model->Continue(tokens, 30));
  EXPECT_EQ(model->broken_pages, 0);
}

TEST(State, AForkSharesItAndGoesItsOwnWay) {
  Bench bench;
  auto sequence = bench.Private();
  bench.Run(GreedyOn(sequence, Prompt(1, 100), 3));
  EXPECT_EQ(bench.host.used(), 3 * kState);  // after 64, 96 and 102
  auto fork = *bench.engine.Fork(*sequence);
  EXPECT_EQ(bench.host.used(), 3 * kState);
  bench.Run(GreedyOn(fork, Prompt(2, 3), 4));
  EXPECT_EQ(bench.host.used(), 4 * kState);
  EXPECT_EQ(fork->cached_length(), 109);
  EXPECT_EQ(bench.first, (std::vector<int64_t>{102, 106, 107, 108}));
  bench.Run(GreedyOn(sequence, Prompt(3, 5), 40));
}

// A guess that is wrong costs no token that is computed again: there is a state after each.
TEST(State, AWrongGuessIsTakenBackExactly) {
  for (const bool forgetful : {false, true}) {
    FakeModel::Options options = Recurrent();
    options.forgetful = forgetful;
    Bench bench(UINT64_MAX, options);
    std::vector<int32_t> prompt;
    for (int i = 0; i < 60; ++i) prompt.push_back(i % 3);  // invites guesses
    RequestOptions request = Greedy(bench.model, prompt, 200);
    request.most_guesses = 8;
    request.queue_capacity = 300;
    const RequestStats stats = bench.Run(std::move(request));
    if (forgetful) {
      EXPECT_GT(stats.accepted_tokens, 100);
    } else {
      EXPECT_GT(stats.guessed_tokens, stats.accepted_tokens);
    }
    EXPECT_EQ(bench.model->tokens_computed,
              60 + 199 + stats.guessed_tokens - stats.accepted_tokens);
    EXPECT_TRUE(std::is_sorted(bench.first.begin(), bench.first.end()));
  }
}

TEST(State, ADraftModelsWrongGuessesAreTakenBackExactlyToo) {
  Bench bench;
  FakeModel::Options options = Recurrent();
  options.errs = 4;
  std::vector<int64_t> drafted;
  options.begin = [&](std::span<const Slice> slices) -> Status {
    drafted.push_back(static_cast<int64_t>(slices[0].tokens.size()));
    return {};
  };
  auto draft = FakeModel::Make(bench.host, options);
  RequestOptions request = Greedy(bench.model, Prompt(1, 50), 200);
  request.most_guesses = 6;
  request.draft_model = draft;
  request.queue_capacity = 300;
  const RequestStats stats = bench.Run(std::move(request));
  EXPECT_GT(stats.accepted_tokens, 60);
  // The prompt, and then one guess after the other, after what it did not guess itself.
  EXPECT_LE(std::accumulate(drafted.begin(), drafted.begin() + 4, int64_t{0}), 50 + 4);
  EXPECT_LE(*std::max_element(drafted.begin() + 4, drafted.end()), 2);
  EXPECT_EQ(draft->broken_pages, 0);
}

TEST(State, NobodyGivesRoomForGuesses) {
  FakeModel::Options options = Recurrent();
  options.forgetful = true;
  options.geometry[0].snapshots = 0;
  Bench bench(3 * kState, options);
  RequestOptions request = GreedyOn(bench.Private(), Prompt(1, 10), 100);
  request.most_guesses = 8;
  request.queue_capacity = 300;
  const RequestStats stats = bench.Run(std::move(request));
  EXPECT_EQ(stats.preemptions, 0);
  EXPECT_EQ(stats.waits_for_pages, 0);
  // One that is read, one that is written, and room for one guess.
  EXPECT_GT(stats.accepted_tokens, 10);
  EXPECT_LE(stats.guessed_tokens, static_cast<int64_t>(bench.first.size()));
}

TEST(State, OneThatIsReadAndOneThatIsWrittenAreEnough) {
  for (const bool shared : {false, true}) {
    Bench bench(2 * kState);
    auto sequence = std::make_shared<Sequence>(bench.model, 0, PrefixSharing{shared, ""});
    for (int turn = 0; turn < 3; ++turn) {
      const RequestStats stats = bench.Run(GreedyOn(sequence, Prompt(turn, 90), 40));
      EXPECT_EQ(stats.preemptions, 0);
      EXPECT_EQ(stats.waits_for_pages, 0);
    }
  }
  Bench bench(2 * kState - 1);
  const Outcome outcome =
      Collect(*MustSubmit(bench.engine, Greedy(bench.model, Prompt(1, 30), 40)));
  EXPECT_EQ(outcome.tokens, bench.model->Continue(Prompt(1, 30), 1));
  EXPECT_EQ(outcome.error.code, Code::kOutOfMemory);
  EXPECT_GT(outcome.error.needed_bytes, outcome.error.available_bytes);
}

// In that order: what may be found, what may be gone back to, what is computed for idle sequences.
TEST(State, WhatIsKeptToGoBackToGivesWayBeforeWhatIsNeeded) {
  Bench bench(9 * kState);
  auto idle = bench.Private();
  bench.Run(GreedyOn(idle, Prompt(1, 300), 3));  // four states
  auto other = bench.Private();
  bench.Run(GreedyOn(other, Prompt(2, 300), 3));
  EXPECT_EQ(bench.host.used(), 8 * kState);
  // Two are needed: one sequence lets go of what it keeps.
  EXPECT_EQ(bench.Run(Greedy(bench.model, Prompt(3, 20), 5)).waits_for_pages, 0);
  EXPECT_EQ(idle->cached_length(), 302);
  EXPECT_EQ(other->cached_length(), 302);
  EXPECT_EQ(bench.host.used(), (1 + 4 + 1) * kState);  // and the new one's end, to be found
  ASSERT_TRUE(idle->Truncate(301));
  EXPECT_EQ(idle->cached_length(), 0);
  ASSERT_TRUE(other->Truncate(301));
  EXPECT_EQ(other->cached_length(), 288);
  bench.Run(GreedyOn(idle, {}, 3));
}

TEST(State, ARequestThatWasPreemptedGoesOnFromAStateThatIsFound) {
  Bench bench(5 * kState);
  auto older = MustSubmit(bench.engine, Greedy(bench.model, Prompt(1, 30), 150));
  auto younger = MustSubmit(bench.engine, Greedy(bench.model, Prompt(2, 30), 100));
  auto youngest = MustSubmit(bench.engine, Greedy(bench.model, Prompt(3, 30), 100));
  EXPECT_EQ(Collect(*older).tokens, bench.model->Continue(Prompt(1, 30), 150));
  EXPECT_EQ(Collect(*younger).tokens, bench.model->Continue(Prompt(2, 30), 100));
  EXPECT_EQ(Collect(*youngest).tokens, bench.model->Continue(Prompt(3, 30), 100));
}

TEST(State, SamplesTakeThePromptUpToTheLastStateInIt) {
  Bench bench;
  auto first = bench.Private();
  std::vector<RequestOptions> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back(GreedyOn(i == 0 ? first : *bench.engine.Fork(*first), Prompt(1, 150), 20));
    if (i > 0) all.back().prompt_from = first;
  }
  std::vector<std::shared_ptr<Request>> requests;
  for (RequestOptions& options : all)
    requests.push_back(MustSubmit(bench.engine, std::move(options)));
  for (const auto& request : requests)
    EXPECT_EQ(Collect(*request).tokens, bench.model->Continue(Prompt(1, 150), 20));
  EXPECT_EQ(bench.model->tokens_computed, 150 + 2 * (150 - 128) + 3 * 19);
}

}  // namespace
}  // namespace mirage::engine
