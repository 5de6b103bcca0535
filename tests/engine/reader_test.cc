// SPDX-License-Identifier: Apache-2.0
// What the reader of a request sees, and what a slow one holds up.

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

TEST(Reader, ASlowOnePausesItsOwnRequestAndNoOther) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  RequestOptions options = Greedy(model, Prompt(1, 10), 50);
  options.queue_capacity = 4;
  auto slow = MustSubmit(engine, std::move(options));
  auto quick = MustSubmit(engine, Greedy(model, Prompt(2, 10), 100));
  EXPECT_EQ(Collect(*quick).tokens, model->Continue(Prompt(2, 10), 100));
  EXPECT_EQ(slow->stats().output_tokens, 4);
  EXPECT_FALSE(slow->finished());
  EXPECT_EQ(Collect(*slow).tokens, model->Continue(Prompt(1, 10), 50));
}

TEST(Reader, AFullQueueCostsNoPasses) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  RequestOptions options = Greedy(model, Prompt(1, 10), 50);
  options.queue_capacity = 4;
  auto slow = MustSubmit(engine, std::move(options));
  ASSERT_TRUE(Eventually([&] { return slow->stats().output_tokens == 4; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(model->passes, 4);
  ASSERT_TRUE(slow->Next(kHang));
  ASSERT_TRUE(Eventually([&] { return slow->stats().output_tokens == 5; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(model->passes, 5);
}

TEST(Reader, NextGivesUpAfterItsTimeout) {
  FakeHost host;
  Gate gate;
  FakeModel::Options options;
  options.begin = [&](auto) -> Status {
    gate.Pass();
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  auto request = MustSubmit(engine, Greedy(model, Prompt(1, 10), 2));
  EXPECT_FALSE(request->ready());
  EXPECT_FALSE(request->Next(std::chrono::nanoseconds(0)));
  EXPECT_FALSE(request->Next(std::chrono::milliseconds(1)));
  gate.Open();
  EXPECT_TRUE(request->Next(kHang));
}

TEST(Reader, IsCalledWheneverSomethingIsReady) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  auto request = MustSubmit(engine, Greedy(model, Prompt(1, 10), 20));
  std::mutex mutex;
  std::condition_variable changed;
  int calls = 0;
  request->OnReady([&] {
    const std::lock_guard lock(mutex);
    ++calls;
    changed.notify_one();
  });
  std::vector<int32_t> tokens;
  int seen = 0;
  for (bool done = false; !done;) {
    {
      std::unique_lock lock(mutex);
      ASSERT_TRUE(changed.wait_for(lock, kHang, [&] { return calls > seen; }));
      seen = calls;
    }
    while (auto output = request->Next(std::chrono::nanoseconds(0))) {
      if (output->kind == Output::Kind::kDone) {
        done = true;
        break;
      }
      tokens.push_back(output->choice.token);
    }
  }
  EXPECT_EQ(tokens, model->Continue(Prompt(1, 10), 20));
  request->OnReady({});
  engine.Shutdown();  // nobody calls `changed` any more
}

TEST(Reader, StatsTellWhenThingsHappened) {
  FakeHost host;
  host.clock.AdvanceTo(1000);
  FakeModel::Options options;
  options.end = [&]() -> Status {
    host.clock.AdvanceTo(host.clock.NowNs() + 100);
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  auto request = MustSubmit(engine, Greedy(model, Prompt(1, 128), 3));
  Collect(*request);
  const RequestStats stats = request->stats();
  EXPECT_EQ(stats.prompt_tokens, 128);
  EXPECT_EQ(stats.cached_tokens, 0);
  EXPECT_EQ(stats.output_tokens, 3);
  EXPECT_EQ(stats.submitted_ns, 1000);
  EXPECT_EQ(stats.first_token_ns, 1200);  // two passes of prompt
  EXPECT_EQ(stats.last_token_ns, 1400);
}

TEST(ExternalSampler, GetsTheModelsLogitsAndItsAnswersAreTheTokens) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  RequestOptions options = Greedy(model, Prompt(1, 10), 6);
  options.external_sampler = true;
  auto sequence = options.sequence;
  auto request = MustSubmit(engine, std::move(options));
  std::vector<int32_t> history = Prompt(1, 10);
  for (int i = 0; i < 6; ++i) {
    auto output = request->Next(kHang);
    ASSERT_TRUE(output);
    ASSERT_EQ(output->kind, Output::Kind::kLogits);
    EXPECT_EQ(output->logits, model->LogitsOf(history));
    const int32_t token = (i * 13 + 5) % 97;
    ASSERT_TRUE(request->Accept(token));
    history.push_back(token);
    auto echoed = request->Next(kHang);
    ASSERT_TRUE(echoed);
    ASSERT_EQ(echoed->kind, Output::Kind::kToken);
    EXPECT_EQ(echoed->choice.token, token);
  }
  EXPECT_EQ(Collect(*request).finish, Finish::kLength);
  EXPECT_EQ(sequence->tokens(), history);
}

TEST(ExternalSampler, AnswersOutOfTurnOrVocabularyAreRefused) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  RequestOptions options = Greedy(model, Prompt(1, 10), 6);
  options.external_sampler = true;
  auto request = MustSubmit(engine, std::move(options));
  ASSERT_TRUE(request->Next(kHang));
  EXPECT_EQ(request->Accept(-1).error().code, Code::kInvalidArgument);
  EXPECT_EQ(request->Accept(97).error().code, Code::kInvalidArgument);
  EXPECT_TRUE(request->Accept(5));
  auto own = MustSubmit(engine, Greedy(model, Prompt(1, 10), 6));
  EXPECT_EQ(own->Accept(5).error().code, Code::kInvalidArgument);
  Collect(*own);
  EXPECT_EQ(own->Accept(5).error().code, Code::kInvalidArgument);
}

TEST(ExternalSampler, OneThatDoesNotAnswerHoldsUpNobodyElse) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  RequestOptions options = Greedy(model, Prompt(1, 10), 6);
  options.external_sampler = true;
  auto silent = MustSubmit(engine, std::move(options));
  EXPECT_EQ(Collect(*MustSubmit(engine, Greedy(model, Prompt(2, 10), 60))).tokens,
            model->Continue(Prompt(2, 10), 60));
  EXPECT_EQ(model->Continue(Prompt(1, 10), 1).size(), 1u);
  silent->Cancel(CancelMode::kStop);
  ASSERT_TRUE(Eventually([&] { return silent->finished(); }));
  EXPECT_EQ(silent->Accept(3).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace mirage::engine
