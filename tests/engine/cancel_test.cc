// SPDX-License-Identifier: Apache-2.0
// Ways a request ends before its tokens do. Latency is counted in layers and steps of the model.

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

// A model that calls `act` once, before layer `layer` of pass `pass` (both from 1).
FakeModel::Options ActAt(int64_t pass, int layer, std::function<void()> act) {
  FakeModel::Options options;
  auto passes = std::make_shared<int64_t>(0);
  options.begin = [passes](auto) -> Status {
    ++*passes;
    return {};
  };
  options.layer = [passes, pass, layer, act = std::move(act)](int index) -> Status {
    if (*passes == pass && index + 1 == layer) act();
    return {};
  };
  return options;
}

// Where a request that does not exist yet will be found by the model's hook.
struct Later {
  Gate submitted;
  std::shared_ptr<Request> request;
  void Set(std::shared_ptr<Request> value) {
    request = std::move(value);
    submitted.Open();
  }
  Request& Get() {
    submitted.Pass();
    return *request;
  }
};

TEST(Cancel, OfARequestAloneEndsThePassBeforeItsNextLayer) {
  FakeHost host;
  Later later;
  auto model = FakeModel::Make(host, ActAt(4, 1, [&] { later.Get().Cancel(CancelMode::kStop); }));
  Engine engine(host.clock);
  later.Set(MustSubmit(engine, Greedy(model, Prompt(1, 10), 50)));
  const Outcome outcome = Collect(*later.request);
  EXPECT_EQ(outcome.finish, Finish::kCancelled);
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(1, 10), 3));
  EXPECT_EQ(model->layers_run, 3 * model->layers() + 1);
}

TEST(Cancel, InAPrefillEndsItBeforeTheNextLayerAndKeepsWhatWasComputed) {
  FakeHost host;
  Later later;
  auto model = FakeModel::Make(host, ActAt(3, 2, [&] { later.Get().Cancel(CancelMode::kStop); }));
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  const std::vector<int32_t> prompt = Prompt(1, 64 * 10);
  later.Set(MustSubmit(engine, GreedyOn(sequence, prompt, 50)));
  EXPECT_EQ(Collect(*later.request).finish, Finish::kCancelled);
  EXPECT_EQ(model->layers_run, 2 * model->layers() + 2);
  EXPECT_EQ(sequence->cached_length(), 2 * 64);
  EXPECT_EQ(sequence->tokens(), prompt);
  // The next request computes the rest and no more.
  const int64_t computed = model->tokens_computed;
  EXPECT_EQ(Collect(*MustSubmit(engine, GreedyOn(sequence, {}, 1))).tokens,
            model->Continue(prompt, 1));
  EXPECT_EQ(model->tokens_computed - computed, 8 * 64);
}

TEST(Cancel, InABatchTakesEffectWhenTheStepEndsAndTouchesNobodyElse) {
  FakeHost host;
  Later later;
  auto model = FakeModel::Make(host, ActAt(6, 1, [&] { later.Get().Cancel(CancelMode::kStop); }));
  Engine engine(host.clock);
  auto other = MustSubmit(engine, Greedy(model, Prompt(2, 10), 30));
  later.Set(MustSubmit(engine, Greedy(model, Prompt(1, 10), 50)));
  const Outcome outcome = Collect(*later.request);
  EXPECT_EQ(outcome.finish, Finish::kCancelled);
  EXPECT_LE(outcome.tokens.size(), 6u);
  EXPECT_EQ(outcome.tokens,
            model->Continue(Prompt(1, 10), static_cast<int64_t>(outcome.tokens.size())));
  EXPECT_EQ(Collect(*other).tokens, model->Continue(Prompt(2, 10), 30));
}

TEST(Cancel, OfTheLargerPartOfAStepEndsItBeforeItsNextLayerAndTheOthersGoOn) {
  FakeHost host;
  Later later;
  // The first pass that has more tokens for the prompt than for the streams beside it.
  FakeModel::Options options;
  bool mixed = false;
  bool acted = false;
  // No stream runs out before those that are to join it have come.
  Gate second_came;
  int alone = 0;
  int together = 0;
  options.begin = [&](std::span<const Slice> slices) -> Status {
    mixed = slices.size() == 3;
    if (slices.size() == 1 && ++alone == 20) second_came.Pass();
    if (slices.size() == 2 && ++together == 20) later.Get();
    return {};
  };
  std::atomic<int64_t> layers_of_it{0};
  options.layer = [&](int) -> Status {
    if (!mixed || layers_of_it > 1) return {};
    ++layers_of_it;
    if (!std::exchange(acted, true)) later.Get().Cancel(CancelMode::kStop);
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  auto first = MustSubmit(engine, Greedy(model, Prompt(2, 10), 200));
  auto second = MustSubmit(engine, Greedy(model, Prompt(3, 10), 200));
  second_came.Open();
  ASSERT_TRUE(Eventually(
      [&] { return first->stats().output_tokens > 0 && second->stats().output_tokens > 0; }));
  later.Set(MustSubmit(engine, Greedy(model, Prompt(1, 300), 50)));
  const Outcome outcome = Collect(*later.request);
  EXPECT_EQ(outcome.finish, Finish::kCancelled);
  EXPECT_EQ(Collect(*first).tokens, model->Continue(Prompt(2, 10), 200));
  EXPECT_EQ(Collect(*second).tokens, model->Continue(Prompt(3, 10), 200));
  EXPECT_EQ(layers_of_it, 1);
  EXPECT_EQ(engine.Stats().rolled_back_steps, 1u);
  EXPECT_EQ(model->broken_pages, 0);
}

TEST(Cancel, RollbackLeavesTheSequenceAsItWasBeforeTheRequest) {
  FakeHost host;
  Later later;
  auto model =
      FakeModel::Make(host, ActAt(40, 1, [&] { later.Get().Cancel(CancelMode::kRollback); }));
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(1, 40), 10)));
  const std::vector<int32_t> before = sequence->tokens();
  later.Set(MustSubmit(engine, GreedyOn(sequence, Prompt(2, 20), 200)));
  const Outcome outcome = Collect(*later.request);
  EXPECT_EQ(outcome.finish, Finish::kCancelled);
  EXPECT_EQ(sequence->tokens(), before);
  EXPECT_LE(sequence->cached_length(), static_cast<int64_t>(before.size()));
  EXPECT_EQ(Collect(*MustSubmit(engine, GreedyOn(sequence, {}, 8))).tokens,
            model->Continue(before, 8));
  EXPECT_EQ(model->broken_pages, 0);
}

TEST(Cancel, RollbackOfAPrefillLeavesTheSequenceAsItWas) {
  FakeHost host;
  Later later;
  auto model =
      FakeModel::Make(host, ActAt(4, 2, [&] { later.Get().Cancel(CancelMode::kRollback); }));
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  later.Set(MustSubmit(engine, GreedyOn(sequence, Prompt(1, 64 * 10), 5)));
  EXPECT_EQ(Collect(*later.request).finish, Finish::kCancelled);
  EXPECT_EQ(sequence->length(), 0);
  EXPECT_EQ(sequence->cached_length(), 0);
  ExpectOnlyPrefixesHeld(host, {model});
}

TEST(Cancel, AfterTheEndChangesNothing) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  auto request = MustSubmit(engine, GreedyOn(sequence, Prompt(1, 10), 5));
  const Outcome outcome = Collect(*request);
  request->Cancel(CancelMode::kRollback);
  EXPECT_EQ(Collect(*request).finish, Finish::kLength);
  EXPECT_EQ(sequence->length(), 15);
}

TEST(Cancel, DroppingTheLastReferenceEndsTheRequest) {
  FakeHost host;
  Gate gate;
  FakeModel::Options options;
  options.begin = [&](auto) -> Status {
    gate.Pass();
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  auto request = MustSubmit(engine, GreedyOn(sequence, Prompt(1, 10), -1));
  gate.AwaitArrival();
  request.reset();
  gate.Open();
  EXPECT_TRUE(Eventually([&] { return !sequence->busy(); }));
  EXPECT_LE(sequence->length(), 11);
  EXPECT_TRUE(Eventually([&] { return engine.Stats().running == 0; }));
}

TEST(Deadline, EndsTheRequestBetweenLayers) {
  FakeHost host;
  FakeModel::Options options;
  options.layer = [&](int) -> Status {
    host.clock.AdvanceTo(host.clock.NowNs() + 10);
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  RequestOptions request = Greedy(model, Prompt(1, 10), -1);
  request.deadline_ns = 155;  // 3 layers of 10 a pass: within the first layer of the sixth
  const Outcome outcome = Collect(*MustSubmit(engine, std::move(request)));
  EXPECT_EQ(outcome.finish, Finish::kDeadline);
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(1, 10), 5));
  EXPECT_EQ(model->layers_run, 5 * 3 + 1);
}

TEST(Deadline, InAPrefillEndsItBetweenLayers) {
  FakeHost host;
  FakeModel::Options options;
  options.layer = [&](int) -> Status {
    host.clock.AdvanceTo(host.clock.NowNs() + 10);
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  RequestOptions request = Greedy(model, Prompt(1, 64 * 8), -1);
  request.deadline_ns = 65;
  const Outcome outcome = Collect(*MustSubmit(engine, std::move(request)));
  EXPECT_EQ(outcome.finish, Finish::kDeadline);
  EXPECT_TRUE(outcome.tokens.empty());
  EXPECT_EQ(model->layers_run, 2 * 3 + 1);
}

TEST(Deadline, EndsARequestThatWaitsForItsReader) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  RequestOptions options = Greedy(model, Prompt(1, 10), -1);
  options.queue_capacity = 3;
  options.deadline_ns = 1000;
  auto request = MustSubmit(engine, std::move(options));
  ASSERT_TRUE(Eventually([&] { return request->stats().output_tokens == 3; }));
  EXPECT_FALSE(request->finished());
  host.clock.AdvanceTo(1000);
  EXPECT_TRUE(Eventually([&] { return request->finished(); }));
  const Outcome outcome = Collect(*request);
  EXPECT_EQ(outcome.finish, Finish::kDeadline);
  EXPECT_EQ(outcome.tokens.size(), 3u);  // what was produced can still be read
}

TEST(Deadline, PassedBeforeTheFirstStepEndsWithoutOne) {
  FakeHost host;
  host.clock.AdvanceTo(500);
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  RequestOptions options = Greedy(model, Prompt(1, 10), -1);
  options.deadline_ns = 400;
  EXPECT_EQ(Collect(*MustSubmit(engine, std::move(options))).finish, Finish::kDeadline);
  EXPECT_EQ(model->passes, 0);
}

TEST(Shutdown, EndsRunningPausedAndWaitingRequests) {
  FakeHost host(40 * FakeModel::kPageBytes);
  auto model = FakeModel::Make(host);
  std::vector<std::shared_ptr<Request>> requests;
  std::vector<std::shared_ptr<Sequence>> sequences;
  {
    Engine engine(host.clock);
    for (int i = 0; i < 8; ++i) {
      sequences.push_back(std::make_shared<Sequence>(model));
      RequestOptions options = GreedyOn(sequences.back(), Prompt(i, 60), -1);
      if (i % 2 == 0) options.queue_capacity = 2;
      requests.push_back(MustSubmit(engine, std::move(options)));
    }
    ASSERT_TRUE(Eventually([&] { return model->passes > 10; }));
    engine.Shutdown();
    auto late = engine.Submit(Greedy(model, {1}, 1));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Code::kClosed);
    auto late_score = Score(engine, model, {1, 2}, 1);
    ASSERT_FALSE(late_score);
    EXPECT_EQ(late_score.error().code, Code::kClosed);
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    const Outcome outcome = Collect(*requests[i]);  // the engine is gone
    EXPECT_EQ(outcome.finish, Finish::kCancelled);
    requests[i]->Cancel(CancelMode::kStop);
    EXPECT_FALSE(sequences[i]->busy());
  }
}

TEST(Shutdown, OfAnEngineThatNeverRanIsQuick) {
  FakeHost host;
  Engine engine(host.clock);
  engine.Shutdown();
  engine.Shutdown();
}

// The engine is woken, and takes in work, at about the moment at which it is stopped: others keep
// it from its lock, so that the stop comes between its looks at what came.
TEST(Shutdown, IsSeenByAnEngineThatIsJustTakingInWork) {
  FakeHost host;
  const auto model = FakeModel::Make(host);
  for (int i = 0; i < 400; ++i) {
    Engine engine(host.clock);
    RequestOptions options = Greedy(model, Prompt(1, 5), -1);
    options.queue_capacity = 1;
    const auto request = MustSubmit(engine, std::move(options));
    std::atomic<bool> over{false};
    std::vector<std::thread> others;
    for (int n = 0; n < 2; ++n)
      others.emplace_back([&] {
        while (!over) static_cast<void>(engine.Stats());
      });
    ASSERT_TRUE(request->Next(kHang));  // wakes it
    std::this_thread::sleep_for(std::chrono::microseconds(i % 150));
    engine.Shutdown();  // would wait for an hour
    over = true;
    for (std::thread& other : others) other.join();
  }
}

TEST(Shutdown, EndsAScoringCall) {
  FakeHost host;
  Gate gate;
  FakeModel::Options options;
  options.begin = [&](auto) -> Status {
    gate.Pass();
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  std::thread caller([&] {
    auto scored = Score(engine, model, Prompt(1, 64 * 20), 1);
    EXPECT_FALSE(scored);
  });
  gate.AwaitArrival();
  std::thread closer([&] { engine.Shutdown(); });
  EXPECT_TRUE(Eventually([&] { return !engine.Submit(Greedy(model, {1}, 1)); }));
  gate.Open();
  caller.join();
  closer.join();
  EXPECT_LT(model->passes, 20);
  EXPECT_EQ(host.used(), 0u);
}

}  // namespace
}  // namespace mirage::engine
