// SPDX-License-Identifier: Apache-2.0
// How likely each token of a prompt is: from the passes that compute it, whatever else goes on.

#include "engine/prompt_scores.h"

#include <limits>

#include "tests/engine/blocker.h"
#include "tests/engine/engine_test.h"

namespace mirage::engine {
namespace {

constexpr int32_t kTop = 3;

RequestOptions Scored(RequestOptions options, int64_t first = 1) {
  options.prompt_logprobs = kTop;
  options.prompt_logprobs_first = first;
  return options;
}

TEST(PromptScores, ComeOnceForEachTokenBeforeTheAnswer) {
  for (const int64_t length : {1, 2, 64, 65, 200}) {
    FakeHost host;
    auto model = FakeModel::Make(host);
    Engine engine(host.clock, {.check_invariants = true});
    const std::vector<int32_t> prompt = Prompt(1, length);
    const Outcome outcome = Collect(*MustSubmit(engine, Scored(Greedy(model, prompt, 5))));
    EXPECT_EQ(outcome.tokens, model->Continue(prompt, 5)) << outcome.error.message;
    ExpectScores(*model, prompt, 1, kTop, outcome.prompt);
    EXPECT_EQ(model->tokens_computed, length + 4);  // none twice
  }
}

TEST(PromptScores, WhatWasComputedBeforeIsComputedAgainFromTheTokenBeforeTheFirst) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock, {.check_invariants = true});
  const std::vector<int32_t> prompt = Prompt(1, 200);
  Collect(*MustSubmit(engine, Greedy(model, prompt, 1)));
  struct Case {
    int64_t first;
    int64_t cached;  // whole pages, or at least eight tokens of one
  };
  for (const auto [first, cached] :
       {Case{1, 0}, Case{33, 32}, Case{100, 96}, Case{130, 129}, Case{199, 198}, Case{200, 199}}) {
    const int64_t before = model->tokens_computed;
    auto request = MustSubmit(engine, Scored(Greedy(model, prompt, 1), first));
    const Outcome outcome = Collect(*request);
    EXPECT_EQ(outcome.tokens, model->Continue(prompt, 1)) << outcome.error.message;
    ExpectScores(*model, prompt, first, kTop, outcome.prompt);
    EXPECT_LE(request->stats().cached_tokens, std::max<int64_t>(0, first - 1)) << first;
    EXPECT_GE(request->stats().cached_tokens, cached - 33) << first;
    EXPECT_EQ(model->tokens_computed - before, 200 - request->stats().cached_tokens);
  }
}

TEST(PromptScores, OfAGoneOnSequenceReachBackToItsBeginning) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock, {.check_invariants = true});
  auto sequence = std::make_shared<Sequence>(model);
  Collect(*MustSubmit(engine, GreedyOn(sequence, Prompt(1, 70), 20)));
  std::vector<int32_t> tokens = sequence->tokens();
  ASSERT_EQ(tokens.size(), 90u);
  const std::vector<int32_t> more = Prompt(2, 50);
  tokens.insert(tokens.end(), more.begin(), more.end());
  const Outcome outcome = Collect(*MustSubmit(engine, Scored(GreedyOn(sequence, more, 5))));
  EXPECT_EQ(outcome.tokens, model->Continue(tokens, 5)) << outcome.error.message;
  ExpectScores(*model, tokens, 1, kTop, outcome.prompt);

  // And with nothing new to compute.
  tokens = sequence->tokens();
  const Outcome again = Collect(*MustSubmit(engine, Scored(GreedyOn(sequence, {}, 5), 100)));
  EXPECT_EQ(again.tokens, model->Continue(tokens, 5)) << again.error.message;
  ExpectScores(*model, tokens, 100, kTop, again.prompt);
}

TEST(PromptScores, AreTheSameInCompanyAndAfterPreemption) {
  FakeHost host(9 * kPage);
  FakeModel::Options options = OneLayer();
  options.step_tokens = 32;
  auto model = FakeModel::Make(host, options);
  FakeHost elsewhere;
  Engine engine(host.clock, {.check_invariants = true});
  Blocker blocker(elsewhere, engine);  // until both are there
  // The older one grows until the younger one's prompt, half computed, is thrown out.
  auto older = MustSubmit(engine, Scored(Greedy(model, Prompt(1, 60), 150)));
  auto younger = MustSubmit(engine, Scored(Greedy(model, Prompt(2, 250), 3)));
  blocker.gate.Open();
  const Outcome first = Collect(*older);
  const Outcome second = Collect(*younger);
  EXPECT_EQ(first.tokens, model->Continue(Prompt(1, 60), 150)) << first.error.message;
  EXPECT_EQ(second.tokens, model->Continue(Prompt(2, 250), 3)) << second.error.message;
  ExpectScores(*model, Prompt(1, 60), 1, kTop, first.prompt);
  ExpectScores(*model, Prompt(2, 250), 1, kTop, second.prompt);
  EXPECT_GT(younger->stats().preemptions + younger->stats().waits_for_pages, 0);
  EXPECT_EQ(model->broken_pages, 0);
}

TEST(PromptScores, OfAStepThatIsTakenBackComeOnceAll) {
  FakeHost host;
  Gate gate;
  std::atomic<bool> hold{false};
  FakeModel::Options options;
  options.layer = [&](int layer) -> Status {
    if (layer == 1 && hold) gate.Pass();
    return {};
  };
  auto model = FakeModel::Make(host, options);
  FakeHost elsewhere;
  Engine engine(host.clock, {.check_invariants = true});
  Blocker blocker(elsewhere, engine);
  auto kept = MustSubmit(engine, Scored(Greedy(model, Prompt(1, 17), 3)));
  auto dropped = MustSubmit(engine, Greedy(model, Prompt(2, 200), 3));
  hold = true;
  blocker.gate.Open();
  gate.AwaitArrival();  // both are in the pass, the second with most of it
  dropped->Cancel(CancelMode::kStop);
  hold = false;
  gate.Open();
  const Outcome outcome = Collect(*kept);
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(1, 17), 3)) << outcome.error.message;
  ExpectScores(*model, Prompt(1, 17), 1, kTop, outcome.prompt);
  EXPECT_EQ(Collect(*dropped).finish, Finish::kCancelled);
}

TEST(PromptScores, WaitForTheirReader) {
  FakeHost host;
  FakeModel::Options options;
  options.step_tokens = 16;
  auto model = FakeModel::Make(host, options);
  Engine engine(host.clock);
  RequestOptions request = Scored(Greedy(model, Prompt(1, 200), 3));
  request.queue_capacity = 2;
  auto slow = MustSubmit(engine, std::move(request));
  const Outcome other = Collect(*MustSubmit(engine, Greedy(model, Prompt(2, 300), 20)));
  EXPECT_EQ(other.tokens, model->Continue(Prompt(2, 300), 20));
  const Outcome outcome = Collect(*slow);
  EXPECT_EQ(outcome.tokens, model->Continue(Prompt(1, 200), 3));
  ExpectScores(*model, Prompt(1, 200), 1, kTop, outcome.prompt);
}

TEST(PromptScores, RefuseAFirstTokenThatIsNotOne) {
  FakeHost host;
  auto model = FakeModel::Make(host);
  Engine engine(host.clock);
  for (const int64_t first : {int64_t{-1}, int64_t{0}, int64_t{11}, INT64_MAX}) {
    auto sequence = std::make_shared<Sequence>(model);
    auto request = engine.Submit(Scored(GreedyOn(sequence, Prompt(1, 10), 3), first));
    ASSERT_FALSE(request) << first;
    EXPECT_EQ(request.error().code, Code::kInvalidArgument);
    EXPECT_EQ(sequence->length(), 0);
  }
  const Outcome none = Collect(*MustSubmit(engine, Scored(Greedy(model, Prompt(1, 10), 3), 10)));
  EXPECT_TRUE(none.prompt.empty());
  EXPECT_EQ(none.tokens, model->Continue(Prompt(1, 10), 3));
}

TEST(PromptScores, ThatAreNoNumbersAreAnErrorNamingThePosition) {
  PromptScores scores(3, 8, 1);
  const std::vector<int32_t> tokens(10, 5);
  EXPECT_EQ(scores.most_cached(), 2);
  const Scores wish = scores.Wish(tokens, 2, 4);
  ASSERT_EQ(wish.targets.size(), 4u);
  wish.logprobs[1] = std::numeric_limits<double>::quiet_NaN();
  const auto taken = scores.Take();
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::kCorrupt);
  EXPECT_NE(taken.error().message.find("position 4"), std::string::npos) << taken.error().message;
}

TEST(PromptScores, WishWhatAPassCanTellAndNotYetDid) {
  const std::vector<int32_t> tokens = Prompt(1, 20);
  PromptScores scores(5, 12, 0);
  EXPECT_TRUE(scores.Wish(tokens, 0, 4).targets.empty());
  EXPECT_EQ(*scores.Take(), nullptr);
  const Scores first = scores.Wish(tokens, 0, 8);
  EXPECT_EQ(first.first, 4);
  EXPECT_EQ(first.targets.size(), 4u);  // 5, 6, 7, and 8 after 7
  EXPECT_EQ(first.targets.data(), tokens.data() + 5);
  EXPECT_EQ((*scores.Take())->tokens.size(), 4u);
  EXPECT_EQ(scores.most_cached(), 8);
  const Scores rest = scores.Wish(tokens, 3, 17);  // computed again from 3 on
  EXPECT_EQ(rest.first, 5);
  EXPECT_EQ(rest.targets.data(), tokens.data() + 9);
  EXPECT_EQ(rest.targets.size(), 3u);
  EXPECT_FALSE(scores.done());
  EXPECT_EQ((*scores.Take())->first, 9);
  EXPECT_TRUE(scores.done());
}

}  // namespace
}  // namespace mirage::engine
