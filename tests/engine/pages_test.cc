// SPDX-License-Identifier: Apache-2.0
// Shortage of pages: an ordinary outcome inside, an error only where nothing could help.

#include "tests/engine/blocker.h"
#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

TEST(Pages, AYoungerRequestWaitsForAnOlderOnesPages) {
  FakeHost host(5 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  FakeHost elsewhere;
  Engine engine(host.clock);
  Blocker blocker(elsewhere, engine);                                    // until both are there
  auto older = MustSubmit(engine, Greedy(model, Prompt(1, 120), 30));    // 4 to 5 pages
  auto younger = MustSubmit(engine, Greedy(model, Prompt(2, 100), 10));  // 4 pages
  blocker.gate.Open();
  EXPECT_EQ(Collect(*older).tokens, model->Continue(Prompt(1, 120), 30));
  EXPECT_EQ(Collect(*younger).tokens, model->Continue(Prompt(2, 100), 10));
  EXPECT_GT(younger->stats().waits_for_pages + younger->stats().preemptions, 0);
  EXPECT_EQ(older->stats().preemptions, 0);
}

TEST(Pages, AnOlderRequestTakesAYoungersPagesWhichAreComputedAgain) {
  FakeHost host(6 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  FakeHost elsewhere;
  Engine engine(host.clock);
  Blocker blocker(elsewhere, engine);  // until both are there
  // Both fit at first; the older one grows until only it does.
  auto older = MustSubmit(engine, Greedy(model, Prompt(1, 30), 150));
  auto younger = MustSubmit(engine, Greedy(model, Prompt(2, 30), 100));
  blocker.gate.Open();
  EXPECT_EQ(Collect(*older).tokens, model->Continue(Prompt(1, 30), 150));
  EXPECT_EQ(Collect(*younger).tokens, model->Continue(Prompt(2, 30), 100));
  EXPECT_EQ(older->stats().preemptions, 0);
  EXPECT_GE(younger->stats().preemptions, 1);
  EXPECT_EQ(model->broken_pages, 0);
}

TEST(Pages, ARequestThatCanNeverFitIsAnErrorWithTheBytesAndNobodyElseSuffers) {
  FakeHost host(5 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  auto small = MustSubmit(engine, Greedy(model, Prompt(1, 20), 40));
  const auto large = engine.Submit(GreedyOn(sequence, Prompt(2, 32 * 5 + 1), 65));
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, Code::kOutOfMemory);
  EXPECT_EQ(large.error().needed_bytes, 8 * kPage);  // with all of the answer
  EXPECT_EQ(large.error().available_bytes, 5 * kPage);
  EXPECT_EQ(Collect(*small).tokens, model->Continue(Prompt(1, 20), 40));
  // The sequence is as it was.
  EXPECT_FALSE(sequence->busy());
  EXPECT_EQ(sequence->length(), 0);
  EXPECT_EQ(Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(2, 50), 5))).tokens,
            model->Continue(Prompt(2, 50), 5));
}

TEST(Pages, ARequestThatCannotFitALoweredLimitIsToldAtOnceAndNotWhenOthersAreDone) {
  FakeHost host(8 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  FakeHost elsewhere;
  Engine engine(host.clock);
  Blocker blocker(elsewhere, engine);
  auto small = MustSubmit(engine, Greedy(model, Prompt(1, 20), 60));
  auto large = MustSubmit(engine, Greedy(model, Prompt(2, 32 * 5 + 1), 5));
  host.ledger.SetLimit(5 * kPage);
  blocker.gate.Open();
  const Outcome outcome = Collect(*large);
  EXPECT_EQ(outcome.error.code, Code::kOutOfMemory);
  EXPECT_EQ(outcome.error.needed_bytes, 6 * kPage);
  EXPECT_EQ(outcome.error.available_bytes, 5 * kPage);
  EXPECT_EQ(large->stats().waits_for_pages, 1);  // it did not wait for what cannot come
  EXPECT_EQ(Collect(*small).tokens, model->Continue(Prompt(1, 20), 60));
}

TEST(Pages, ARequestThatCannotFitMayBeTheLastToHoldItsModel) {
  FakeHost host(8 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  FakeHost elsewhere;
  Engine engine(host.clock);
  Blocker blocker(elsewhere, engine);
  auto large = MustSubmit(engine, Greedy(model, Prompt(2, 32 * 5 + 1), 5));
  const std::weak_ptr<FakeModel> left = std::exchange(model, nullptr);
  host.ledger.SetLimit(5 * kPage);
  blocker.gate.Open();
  EXPECT_EQ(Collect(*large).error.code, Code::kOutOfMemory);
  large.reset();
  for (int i = 0; i < 1000 && !left.expired(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(left.expired());
}

TEST(Pages, OneThatCannotFitIsEndedBehindOneThatWaits) {
  FakeHost host(8 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  FakeHost elsewhere;
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(3, 40), 2)));
  Blocker blocker(elsewhere, engine);
  auto older = MustSubmit(engine, Greedy(model, Prompt(1, 70), 20));
  auto waits = MustSubmit(engine, Greedy(model, Prompt(2, 32 * 4), 5));
  auto large = MustSubmit(engine, GreedyOn(sequence, Prompt(4, 32 * 4 + 1), 5));
  host.ledger.SetLimit(5 * kPage);
  blocker.gate.Open();
  EXPECT_EQ(Collect(*large).error.code, Code::kOutOfMemory);
  EXPECT_EQ(Collect(*older).tokens, model->Continue(Prompt(1, 70), 20));
  EXPECT_EQ(Collect(*waits).tokens, model->Continue(Prompt(2, 32 * 4), 5));
}

// A part of a chunk is no room for a page, in whose chunk others may lie.
TEST(Pages, AreCountedInWholeChunksOfEachLayer) {
  constexpr uint64_t kChunk = 4 * kPage;
  FakeHost host(5 * kChunk + 3 * kPage, kChunk);
  FakeModel::Options options;
  options.geometry = {FakeModel::Full({0, 1})};
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  const auto outcome = engine.Submit(Greedy(model, Prompt(1, 32 * 8 + 1), 5));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().needed_bytes, 6 * kChunk);
  host.ledger.SetLimit(6 * kChunk);
  EXPECT_EQ(Collect(*MustSubmit(engine, Greedy(model, Prompt(1, 32 * 8 + 1), 5))).tokens,
            model->Continue(Prompt(1, 32 * 8 + 1), 5));
}

TEST(Pages, ARequestThatOutgrowsMemoryKeepsWhatItProduced) {
  FakeHost host(3 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  Engine engine(host.clock);
  const Outcome outcome = Collect(*MustSubmit(engine, Greedy(model, Prompt(1, 40), -1)));
  EXPECT_EQ(outcome.finish, Finish::kError);
  EXPECT_EQ(outcome.error.code, Code::kOutOfMemory);
  // 96 positions fit, and the token after them.
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(1, 40), 96 - 40 + 1));
}

TEST(Pages, AnIdleSequencesPagesDoNotFailARequest) {
  FakeHost host(5 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  Engine engine(host.clock);
  auto idle = std::make_shared<Sequence>(model);
  Collect(*MustSubmit(engine, GreedyOn(idle, Prompt(1, 90), 3)));
  const std::vector<int32_t> before = idle->tokens();
  EXPECT_EQ(host.used(), 3 * kPage);
  const Outcome outcome = Collect(*MustSubmit(engine, Greedy(model, Prompt(2, 120), 3)));
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(2, 120), 3)) << outcome.error.message;
  // The idle one lost nothing but time.
  EXPECT_EQ(idle->tokens(), before);
  EXPECT_EQ(Collect(*MustSubmit(engine, GreedyOn(idle, {}, 3))).tokens, model->Continue(before, 3));
}

// A model of one layer whose pages draw on a promise.
struct Promised {
  Promised(FakeHost& host, int64_t pages, uint64_t salt)
      : promise(memory::Promise::Make(host.ledger, static_cast<uint64_t>(pages) * kPage, "a model")
                    .value()) {
    FakeModel::Options options = OneLayer();
    options.salt = salt;
    options.promise = promise.get();
    model = FakeModel::Make(host, options);
  }
  std::unique_ptr<memory::Promise> promise;
  std::shared_ptr<FakeModel> model;  // ends first
};

TEST(Pages, ThoseThatAnotherModelsPromiseKeepsAreNotTakenForNothing) {
  FakeHost host(8 * kPage);
  Promised kept(host, 4, 1);
  Promised asking(host, 2, 2);
  Engine engine(host.clock);
  auto idle = std::make_shared<Sequence>(kept.model);
  Collect(*MustSubmit(engine, GreedyOn(idle, Prompt(1, 90), 3)));
  const int64_t cached = idle->cached_length();
  ASSERT_GT(cached, 0);
  // Four pages are not the other's.
  EXPECT_EQ(Collect(*MustSubmit(engine, Greedy(asking.model, Prompt(2, 120), 3))).tokens,
            asking.model->Continue(Prompt(2, 120), 3));
  EXPECT_EQ(idle->cached_length(), cached);
  const Outcome outcome = Collect(*MustSubmit(engine, Greedy(asking.model, Prompt(3, 150), 3)));
  EXPECT_EQ(outcome.finish, Finish::kError);
  EXPECT_EQ(outcome.error.code, Code::kOutOfMemory);
  EXPECT_GT(outcome.error.needed_bytes, outcome.error.available_bytes);
  EXPECT_EQ(idle->cached_length(), cached);
  // And what the other one was promised is there.
  const std::vector<int32_t> before = idle->tokens();
  EXPECT_EQ(Collect(*MustSubmit(engine, GreedyOn(idle, {}, 30))).tokens,
            kept.model->Continue(before, 30));
}

TEST(Pages, ThoseBeyondAnotherModelsPromiseAreTaken) {
  FakeHost host(8 * kPage);
  Promised more(host, 1, 1);
  Promised asking(host, 2, 2);
  Engine engine(host.clock);
  auto idle = std::make_shared<Sequence>(more.model);
  Collect(*MustSubmit(engine, GreedyOn(idle, Prompt(1, 90), 3)));
  const Outcome outcome = Collect(*MustSubmit(engine, Greedy(asking.model, Prompt(3, 200), 3)));
  EXPECT_EQ(outcome.tokens, asking.model->Continue(Prompt(3, 200), 3)) << outcome.error.message;
}

TEST(Pages, ScoringThatHoldsPagesDoesNotFailARequest) {
  FakeHost host(6 * kPage);
  Gate gate;
  FakeModel::Options options = OneLayer();
  options.begin = [&](auto) -> Status {
    gate.Pass();
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  const std::vector<int32_t> text = Prompt(3, 150);  // 5 pages, three steps
  std::thread caller([&] {
    auto scored = Score(engine, model, text, 1);
    EXPECT_TRUE(scored) << scored.error().message;
  });
  gate.AwaitArrival();
  auto request = MustSubmit(engine, Greedy(model, Prompt(1, 60), 40));  // up to 4 pages
  gate.Open();
  const Outcome outcome = Collect(*request);
  caller.join();
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(1, 60), 40)) << outcome.error.message;
}

TEST(Pages, ScoringWaitsForPagesThatRequestsHold) {
  FakeHost host(6 * kPage);
  Gate gate;
  FakeModel::Options options = OneLayer();
  options.begin = [&](auto) -> Status {
    gate.Pass();
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  auto request = MustSubmit(engine, Greedy(model, Prompt(1, 60), 100));  // up to 5 pages
  gate.AwaitArrival();
  std::thread caller([&] {
    auto scored = Score(engine, model, Prompt(3, 150), 1);
    EXPECT_TRUE(scored) << scored.error().message;
  });
  gate.Open();
  EXPECT_EQ(Collect(*request).tokens, model->Continue(Prompt(1, 60), 100));
  caller.join();
}

TEST(Pages, APausedRequestHoldsUpNobodyElse) {
  FakeHost host(5 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  Engine engine(host.clock);
  RequestOptions options = Greedy(model, Prompt(1, 100), 20);
  options.queue_capacity = 2;
  auto paused = MustSubmit(engine, std::move(options));
  ASSERT_TRUE(Eventually([&] { return paused->stats().output_tokens == 2; }));
  EXPECT_EQ(Collect(*MustSubmit(engine, Greedy(model, Prompt(2, 100), 20))).tokens,
            model->Continue(Prompt(2, 100), 20));
  EXPECT_EQ(Collect(*paused).tokens, model->Continue(Prompt(1, 100), 20));
}

TEST(Pages, APausedRequestDoesNotHoldUpOneWhosePagesItTook) {
  FakeHost host(4 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  FakeHost elsewhere;
  Engine engine(host.clock);
  Blocker blocker(elsewhere, engine);  // until both are there
  // The older one grows to three pages, takes the younger one's for that, and then waits for its
  // reader.
  RequestOptions options = Greedy(model, Prompt(1, 30), 80);
  options.queue_capacity = 50;
  auto older = MustSubmit(engine, std::move(options));
  auto younger = MustSubmit(engine, Greedy(model, Prompt(2, 30), 60));
  blocker.gate.Open();
  ASSERT_TRUE(Eventually([&] { return older->stats().output_tokens == 50; }));
  const Outcome outcome = Collect(*younger);
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(2, 30), 60));
  EXPECT_GE(younger->stats().preemptions, 1);
  EXPECT_EQ(Collect(*older).tokens, model->Continue(Prompt(1, 30), 80));
}

TEST(Pages, PagesInAnotherThreadsHandsAreWaitedFor) {
  FakeHost host(5 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(1, 70), 5)));
  // As while it is saved, and between its last owner's letting go and its end.
  std::optional<Sequence::Copy> copy = sequence->Share().value();
  sequence.reset();
  auto request = MustSubmit(engine, Greedy(model, Prompt(2, 100), 5));
  ASSERT_TRUE(Eventually([&] { return request->stats().waits_for_pages > 3; }));
  EXPECT_FALSE(request->finished());
  copy.reset();
  EXPECT_EQ(Collect(*request).tokens, model->Continue(Prompt(2, 100), 5));
}

TEST(Pages, AnIdleSequenceThatTookOverPagesGivesThemUp) {
  FakeHost host(6 * kPage);
  auto model = FakeModel::Make(host, OneLayer());
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(1, 70), 5)));
  auto restored = std::make_shared<Sequence>(model);
  ASSERT_TRUE(engine.Adopt(restored, sequence->Share().value()));
  sequence.reset();
  auto request = MustSubmit(engine, Greedy(model, Prompt(2, 120), 5));
  EXPECT_EQ(Collect(*request).tokens, model->Continue(Prompt(2, 120), 5));
  EXPECT_EQ(restored->cached_length(), 0);
}

TEST(Pages, TwoThatArriveTogetherAreServedOneAfterTheOther) {
  FakeHost host(1 * kPage);
  Gate gate;
  FakeModel::Options options = OneLayer();
  options.begin = [&](auto) -> Status {
    gate.Pass();
    return {};
  };
  auto model = FakeModel::Make(host, options);
  FakeHost elsewhere;  // a model that keeps the engine busy until both are there
  auto other = FakeModel::Make(elsewhere, options);
  Engine engine(host.clock);
  auto busy = MustSubmit(engine, Greedy(other, Prompt(1, 3), 1));
  gate.AwaitArrival();
  auto first = MustSubmit(engine, Greedy(model, Prompt(1, 5), 6));
  auto second = MustSubmit(engine, Greedy(model, Prompt(2, 5), 6));
  gate.Open();
  EXPECT_EQ(Collect(*first).tokens, model->Continue(Prompt(1, 5), 6));
  const Outcome outcome = Collect(*second);
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(2, 5), 6)) << outcome.error.message;
  Collect(*busy);
}

TEST(Pages, TwoModelsOfUnlikeGeometryDrawFromOneLedger) {
  FakeHost host(24 * kPage);
  FakeModel::Options wide;
  wide.salt = 2;
  wide.geometry = {{kv::CacheKind::kFull, 0, 2, 64, {0, 1}}};  // 32 KiB a page and both layers
  auto narrow_model = FakeModel::Make(host, OneLayer());
  auto wide_model = FakeModel::Make(host, wide);
  Engine engine(host.clock);
  std::vector<std::pair<std::shared_ptr<Request>, std::vector<int32_t>>> cases;
  for (int i = 0; i < 6; ++i) {
    const auto& model = i % 2 == 0 ? narrow_model : wide_model;
    cases.emplace_back(MustSubmit(engine, Greedy(model, Prompt(i, 20), 50)),
                       model->Continue(Prompt(i, 20), 50));
  }
  int64_t shortages = 0;
  for (auto& [request, expected] : cases) {
    const Outcome outcome = Collect(*request);
    EXPECT_EQ(outcome.tokens, expected) << outcome.error.message;
    shortages += request->stats().preemptions + request->stats().waits_for_pages;
    request.reset();
  }
  EXPECT_GT(shortages, 0);
  ExpectOnlyPrefixesHeld(host, {narrow_model, wide_model});
}

}  // namespace
}  // namespace mirage::engine
