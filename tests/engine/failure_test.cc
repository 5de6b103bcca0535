// SPDX-License-Identifier: Apache-2.0
// A pass that fails rolls back, and ends the requests that were in it and no others.

#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

TEST(FailedPass, EndsTheRequestsInItWithItsErrorAndRollsBack) {
  FakeHost host;
  std::atomic<bool> fail{false};
  FakeModel::Options options;
  options.layer = [&](int layer) -> Status {
    if (layer == 1 && fail.exchange(false)) return Fail(Code::kIo, "the disk is gone");
    return {};
  };
  auto model = FakeModel::Make(host, options);
  auto bystander_model = FakeModel::Make(host);
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  RequestOptions request_options = GreedyOn(sequence, Prompt(1, 10), -1);
  request_options.queue_capacity = 5;
  auto request = MustSubmit(engine, std::move(request_options));
  auto bystander = MustSubmit(engine, Greedy(bystander_model, Prompt(2, 10), 200));
  ASSERT_TRUE(Eventually([&] { return request->stats().output_tokens == 5; }));
  ASSERT_EQ(sequence->cached_length(), 14);
  fail = true;
  const Outcome outcome = Collect(*request);
  EXPECT_EQ(outcome.finish, Finish::kError);
  EXPECT_EQ(outcome.error.code, Code::kIo);
  EXPECT_EQ(outcome.error.message, "the disk is gone");
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(1, 10), 5));
  EXPECT_EQ(Collect(*bystander).tokens, bystander_model->Continue(Prompt(2, 10), 200));
  EXPECT_EQ(engine.Stats().rolled_back_steps, 1u);
  // The cache is what was committed before, and the sequence goes on from there.
  EXPECT_EQ(sequence->cached_length(), 14);
  const std::vector<int32_t> history = sequence->tokens();
  EXPECT_EQ(Collect(*MustSubmit(engine, GreedyOn(sequence, {}, 5))).tokens,
            model->Continue(history, 5));
  EXPECT_EQ(model->broken_pages, 0);
}

TEST(FailedPass, GivesBackThePagesItReserved) {
  FakeHost host;
  FakeModel::Options options;
  options.end = [passes = 0]() mutable -> Status {
    if (++passes == 2) return Fail(Code::kDevice, "lost");
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  auto sequence = std::make_shared<Sequence>(model);
  const Outcome outcome = Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(1, 640), 5)));
  EXPECT_EQ(outcome.error.code, Code::kDevice);
  EXPECT_EQ(sequence->cached_length(), 64);
  EXPECT_EQ(host.used(), 3u * 2 * FakeModel::kPageBytes);  // three layers, two pages each
  EXPECT_EQ(Collect(*MustSubmit(engine, GreedyOn(sequence, {}, 5))).tokens,
            model->Continue(Prompt(1, 640), 5));
}

TEST(FailedPass, LeavesRequestsThatWereNotInItRunning) {
  FakeHost host;
  Gate gate;
  FakeModel::Options options;
  options.begin = [&, passes = 0](std::span<const Slice> slices) mutable -> Status {
    gate.Pass();
    // The first pass has one request in it; a second one waits for its turn.
    if (++passes == 1) {
      EXPECT_EQ(slices.size(), 1u);
      return Fail(Code::kIo, "once");
    }
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  auto first = MustSubmit(engine, Greedy(model, Prompt(1, 10), 5));
  gate.AwaitArrival();
  auto second = MustSubmit(engine, Greedy(model, Prompt(2, 10), 5));
  gate.Open();
  EXPECT_EQ(Collect(*first).error.code, Code::kIo);
  EXPECT_EQ(Collect(*second).tokens, model->Continue(Prompt(2, 10), 5));
}

TEST(FailedPass, ARowTheSamplerCannotUseEndsThatRequestAlone) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  RequestOptions options = Greedy(model, Prompt(1, 10), 20);
  for (int32_t token = 0; token < model->vocabulary(); ++token)
    options.sampling.logit_bias.emplace_back(token, -INFINITY);
  auto other = MustSubmit(engine, Greedy(model, Prompt(2, 10), 20));
  auto forbidden = MustSubmit(engine, std::move(options));
  const Outcome outcome = Collect(*forbidden);
  EXPECT_EQ(outcome.finish, Finish::kError);
  EXPECT_EQ(outcome.error.code, Code::kInvalidArgument);
  EXPECT_EQ(Collect(*other).tokens, model->Continue(Prompt(2, 10), 20));
}

TEST(FailedPass, AThrowingModelEndsRequestsAndNotTheProcess) {
  FakeHost host;
  FakeModel::Options options;
  options.begin = [passes = 0](auto) mutable -> Status {
    if (++passes == 3) throw std::bad_alloc();
    return {};
  };
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  EXPECT_EQ(Collect(*MustSubmit(engine, Greedy(model, Prompt(1, 10), 20))).error.code,
            Code::kOutOfMemory);
  EXPECT_EQ(Collect(*MustSubmit(engine, Greedy(model, Prompt(2, 10), 20))).tokens,
            model->Continue(Prompt(2, 10), 20));
}

}  // namespace
}  // namespace mirage::engine
