// SPDX-License-Identifier: Apache-2.0
// Who is served when, on a clock of our own: bounded time between tokens, priorities, deadlines, a
// bound on how many run at once.

#include "tests/engine/blocker.h"
#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

constexpr int64_t kMilli = 1'000'000;
constexpr int64_t kFixedNs = 5 * kMilli;
constexpr int64_t kTokenNs = kMilli;

// A model whose passes take time, and which notes who took part in them.
struct TimedModel {
  struct Pass {
    int64_t begin_ns;
    std::vector<std::pair<const kv::SequenceCache*, int64_t>> slices;  // and their tokens
  };

  TimedModel(FakeHost& host, int32_t logit_rows = 16) : clock(host.clock) {
    FakeModel::Options options;
    options.context = 8192;
    options.step_tokens = 512;
    options.logit_rows = logit_rows;
    options.begin = [this](std::span<const Slice> slices) -> Status {
      gate.Pass();
      const std::lock_guard lock(mutex);
      Pass pass{clock.NowNs(), {}};
      int64_t tokens = 0;
      for (const Slice& slice : slices) {
        pass.slices.emplace_back(slice.cache, static_cast<int64_t>(slice.tokens.size()));
        tokens += static_cast<int64_t>(slice.tokens.size());
      }
      passes.push_back(std::move(pass));
      clock.AdvanceTo(clock.NowNs() + kFixedNs + tokens * kTokenNs);
      return {};
    };
    model = FakeModel::Make(host, options);
  }

  VirtualClock& clock;
  Gate gate;
  std::mutex mutex;
  std::vector<Pass> passes;
  std::shared_ptr<FakeModel> model;
};

TEST(Scheduling, ARunningStreamWaitsABoundedTimeWhileALongPromptIsComputed) {
  FakeHost host;
  TimedModel timed(host);
  timed.gate.Open();
  const int64_t target = 60 * kMilli;
  Engine engine(host.clock, {.target_step_ns = target});
  for (int i = 3; i < 6; ++i)  // the engine learns what a step costs
    Collect(*MustSubmit(engine, Greedy(timed.model, Prompt(i, 1500), 20)));
  Blocker blocker(host, engine);
  RequestOptions options = Greedy(timed.model, Prompt(1, 30), 400);
  options.queue_capacity = 1000;
  auto stream = MustSubmit(engine, std::move(options));
  auto prompt = MustSubmit(engine, Greedy(timed.model, Prompt(2, 4096), 1));
  blocker.gate.Open();
  Collect(*prompt);
  Collect(*stream);
  int shared = 0;
  for (size_t i = 0; i + 1 < timed.passes.size(); ++i) {
    if (timed.passes[i].slices.size() != 2) continue;
    ++shared;
    EXPECT_LE(timed.passes[i + 1].begin_ns - timed.passes[i].begin_ns, target + 2 * kTokenNs) << i;
  }
  EXPECT_GT(shared, 4096 / 60);
}

TEST(Scheduling, AShortPromptDoesNotWaitForAllOfALongOne) {
  FakeHost host;
  TimedModel timed(host);
  timed.gate.Open();
  Engine engine(host.clock, {.target_step_ns = 60 * kMilli});
  Blocker blocker(host, engine);
  auto long_one = MustSubmit(engine, Greedy(timed.model, Prompt(2, 4096), 1));
  auto short_one = MustSubmit(engine, Greedy(timed.model, Prompt(3, 200), 1));
  blocker.gate.Open();
  Collect(*long_one);
  Collect(*short_one);
  EXPECT_LT(short_one->stats().first_token_ns, long_one->stats().first_token_ns / 2);
}

TEST(Scheduling, AHigherPriorityIsServedFirstThoughItCameLater) {
  FakeHost host;
  TimedModel timed(host, 1);  // one row of logits: one stream at a time
  timed.gate.Open();
  Engine engine(host.clock);
  Blocker blocker(host, engine);
  auto low = MustSubmit(engine, Greedy(timed.model, Prompt(1, 40), 30));
  RequestOptions options = Greedy(timed.model, Prompt(2, 40), 30);
  options.priority = 5;
  auto high = MustSubmit(engine, std::move(options));
  blocker.gate.Open();
  Collect(*low);
  Collect(*high);
  EXPECT_LT(high->stats().last_token_ns, low->stats().last_token_ns);
  EXPECT_LT(high->stats().first_token_ns, low->stats().first_token_ns);
}

TEST(Scheduling, ALowPriorityIsServedLaterAndNotNever) {
  FakeHost host;
  TimedModel timed(host, 1);
  timed.gate.Open();
  Engine engine(host.clock);
  Blocker blocker(host, engine);
  RequestOptions options = Greedy(timed.model, Prompt(1, 10), 3);
  options.priority = -1;
  auto low = MustSubmit(engine, std::move(options));
  options = Greedy(timed.model, Prompt(2, 10), 1000);
  options.queue_capacity = 2000;
  auto high = MustSubmit(engine, std::move(options));
  blocker.gate.Open();
  Collect(*high);
  Collect(*low);
  EXPECT_LT(low->stats().last_token_ns, high->stats().last_token_ns);
}

TEST(Scheduling, AHigherPriorityTakesALowerOnesPages) {
  FakeHost host(6 * FakeModel::kPageBytes);
  FakeModel::Options model_options;
  model_options.geometry = {{kv::CacheKind::kFull, 0, 1, 32, {0}}};
  auto model = FakeModel::Make(host, model_options);
  FakeHost elsewhere;
  Engine engine(host.clock, {.check_invariants = true});
  Blocker blocker(elsewhere, engine);
  auto low = MustSubmit(engine, Greedy(model, Prompt(1, 30), 130));
  RequestOptions options = Greedy(model, Prompt(2, 30), 130);
  options.priority = 1;
  auto high = MustSubmit(engine, std::move(options));
  blocker.gate.Open();
  EXPECT_EQ(Collect(*high).tokens, model->Continue(Prompt(2, 30), 130));
  EXPECT_EQ(Collect(*low).tokens, model->Continue(Prompt(1, 30), 130));
  EXPECT_EQ(high->stats().preemptions, 0);
  EXPECT_GE(low->stats().preemptions + low->stats().waits_for_pages, 1);
}

// It would take the step's tokens again and again, and never have the pages for them.
TEST(Scheduling, OneWithoutPagesDoesNotHoldUpThoseWhoHaveThem) {
  FakeHost host(6 * FakeModel::kPageBytes);
  FakeModel::Options model_options;
  model_options.geometry = {{kv::CacheKind::kFull, 0, 1, 32, {0}}};
  model_options.step_tokens = 32;
  auto model = FakeModel::Make(host, model_options);
  FakeHost elsewhere;
  Engine engine(host.clock, {.check_invariants = true});
  Blocker blocker(elsewhere, engine);
  auto older = MustSubmit(engine, Greedy(model, Prompt(1, 180), 5));  // all six pages
  RequestOptions options = Greedy(model, Prompt(2, 180), 5);
  options.deadline_ns = INT64_MAX - 1;
  auto urgent = MustSubmit(engine, std::move(options));
  blocker.gate.Open();
  EXPECT_EQ(Collect(*older).tokens, model->Continue(Prompt(1, 180), 5));
  EXPECT_EQ(Collect(*urgent).tokens, model->Continue(Prompt(2, 180), 5));
}

TEST(Scheduling, NoMoreThanTheBoundRunAtOnce) {
  FakeHost host;
  TimedModel timed(host);
  timed.gate.Open();
  Engine engine(host.clock, {.max_running = 2});
  Blocker blocker(host, engine);
  std::vector<std::shared_ptr<Request>> requests;
  for (int i = 0; i < 5; ++i)
    requests.push_back(MustSubmit(engine, Greedy(timed.model, Prompt(i, 20), 10)));
  blocker.gate.Open();
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(Collect(*requests[static_cast<size_t>(i)]).tokens,
              timed.model->Continue(Prompt(i, 20), 10));
  size_t most = 0;
  for (const TimedModel::Pass& pass : timed.passes) most = std::max(most, pass.slices.size());
  EXPECT_EQ(most, 2u);
}

}  // namespace
}  // namespace mirage::engine
