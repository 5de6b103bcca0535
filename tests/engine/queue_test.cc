// SPDX-License-Identifier: Apache-2.0
// The queue policy: requests start only where all they may come to hold fits.

#include <algorithm>

#include "tests/engine/blocker.h"
#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

EngineOptions Queueing() {
  EngineOptions options;
  options.policy = &QueuePolicy();
  return options;
}

// Fakes whose every pass takes a tick, and which note how many took part in one at most.
struct Counted {
  explicit Counted(uint64_t pages) : host(pages * kPage) {
    FakeModel::Options options = OneLayer();
    options.begin = [this](std::span<const Slice> slices) -> Status {
      host.clock.AdvanceTo(host.clock.NowNs() + 1);
      most_together = std::max(most_together, slices.size());
      return {};
    };
    model = FakeModel::Make(host, options);
  }

  FakeHost host;
  FakeHost elsewhere;
  size_t most_together = 0;
  std::shared_ptr<FakeModel> model;
};

// Without prefixes, which would lie there in place of requests.
RequestOptions Wish(const Counted& counted, int seed, int64_t prompt, int64_t max_tokens) {
  RequestOptions options = Greedy(counted.model, Prompt(seed, prompt), max_tokens);
  PrefixSharing sharing;
  sharing.enabled = false;
  options.sequence = std::make_shared<Sequence>(counted.model, 0, sharing);
  return options;
}

void ExpectAnswer(const Counted& counted, Request& request, int seed, int64_t prompt,
                  int64_t max_tokens) {
  EXPECT_EQ(Collect(request).tokens, counted.model->Continue(Prompt(seed, prompt), max_tokens));
}

// Five of five pages each, where there are `pages`.
size_t MostTogether(uint64_t pages) {
  Counted counted(pages);
  Engine engine(counted.host.clock, Queueing());
  Blocker blocker(counted.elsewhere, engine);
  std::vector<std::shared_ptr<Request>> requests;
  for (int i = 0; i < 5; ++i) requests.push_back(MustSubmit(engine, Wish(counted, i, 30, 120)));
  blocker.gate.Open();
  for (int i = 0; i < 5; ++i) {
    ExpectAnswer(counted, *requests[static_cast<size_t>(i)], i, 30, 120);
    EXPECT_EQ(requests[static_cast<size_t>(i)]->stats().preemptions, 0);
  }
  EXPECT_EQ(counted.model->broken_pages, 0);
  return counted.most_together;
}

TEST(Queue, ARequestStartsWhenAllItMayComeToHoldFits) {
  EXPECT_EQ(MostTogether(9), 1u);
  EXPECT_EQ(MostTogether(10), 2u);
  EXPECT_EQ(MostTogether(14), 2u);
  EXPECT_EQ(MostTogether(25), 5u);
}

TEST(Queue, ASmallerOneDoesNotPassByOneThatWaits) {
  Counted counted(8);
  Engine engine(counted.host.clock, Queueing());
  Blocker blocker(counted.elsewhere, engine);
  auto running = MustSubmit(engine, Wish(counted, 1, 30, 120));
  auto large = MustSubmit(engine, Wish(counted, 2, 30, 200));
  auto small = MustSubmit(engine, Wish(counted, 3, 10, 10));
  blocker.gate.Open();
  ExpectAnswer(counted, *running, 1, 30, 120);
  ExpectAnswer(counted, *large, 2, 30, 200);
  ExpectAnswer(counted, *small, 3, 10, 10);
  // Steps begin before the clock moves on: in one step with it, it would be earlier.
  EXPECT_LE(running->stats().last_token_ns, large->stats().first_step_ns);
  EXPECT_LE(large->stats().first_step_ns, small->stats().first_step_ns);
}

TEST(Queue, OneThatHasWaitedLongIsNotPassedByHigherPriorities) {
  Counted counted(8);
  Engine engine(counted.host.clock, Queueing());
  Blocker blocker(counted.elsewhere, engine);
  auto running = MustSubmit(engine, Wish(counted, 1, 30, 120));  // more steps than kStarvedSteps
  RequestOptions low = Wish(counted, 2, 30, 120);
  low.priority = -1;
  auto waiting = MustSubmit(engine, std::move(low));
  auto higher = MustSubmit(engine, Wish(counted, 3, 30, 120));
  auto late = MustSubmit(engine, Wish(counted, 4, 30, 120));
  blocker.gate.Open();
  ExpectAnswer(counted, *running, 1, 30, 120);
  ExpectAnswer(counted, *waiting, 2, 30, 120);
  ExpectAnswer(counted, *higher, 3, 30, 120);
  ExpectAnswer(counted, *late, 4, 30, 120);
  EXPECT_LE(waiting->stats().last_token_ns, higher->stats().first_step_ns);
}

TEST(Queue, OneWhoseWholeCanNeverFitRunsAloneAndEndsWithTheError) {
  Counted counted(4);
  Engine engine(counted.host.clock, Queueing());
  Blocker blocker(counted.elsewhere, engine);
  auto endless = MustSubmit(engine, Wish(counted, 1, 30, -1));
  auto other = MustSubmit(engine, Wish(counted, 2, 30, 60));
  blocker.gate.Open();
  const Outcome outcome = Collect(*endless);
  EXPECT_EQ(outcome.finish, Finish::kError);
  EXPECT_EQ(outcome.error.code, Code::kOutOfMemory);
  EXPECT_EQ(outcome.error.available_bytes, 4 * kPage);
  ExpectAnswer(counted, *other, 2, 30, 60);
  EXPECT_EQ(counted.most_together, 1u);
}

TEST(Queue, OneThatItsReaderKeepsWaitingGivesRoom) {
  Counted counted(8);
  Engine engine(counted.host.clock, Queueing());
  RequestOptions options = Wish(counted, 1, 30, 200);
  options.queue_capacity = 1;
  auto unread = MustSubmit(engine, std::move(options));
  ASSERT_TRUE(Eventually([&] { return unread->ready(); }));
  ExpectAnswer(counted, *MustSubmit(engine, Wish(counted, 2, 30, 200)), 2, 30, 200);
  ExpectAnswer(counted, *unread, 1, 30, 200);
}

TEST(Queue, PagesOfIdleSessionsGiveWayToOneThatWaits) {
  Counted counted(12);
  Engine engine(counted.host.clock, Queueing());
  const RequestOptions idle = Wish(counted, 1, 120, 4);  // four pages, kept by the sequence
  Collect(*MustSubmit(engine, GreedyOn(idle.sequence, Prompt(1, 120), 4)));
  ASSERT_EQ(idle.sequence->cached_length(), 123);
  Blocker blocker(counted.elsewhere, engine);
  auto one = MustSubmit(engine, Wish(counted, 2, 30, 120));
  auto two = MustSubmit(engine, Wish(counted, 3, 30, 120));
  blocker.gate.Open();
  ExpectAnswer(counted, *one, 2, 30, 120);
  ExpectAnswer(counted, *two, 3, 30, 120);
  EXPECT_EQ(counted.most_together, 2u);
  EXPECT_EQ(idle.sequence->cached_length(), 0);
}

}  // namespace
}  // namespace mirage::engine
