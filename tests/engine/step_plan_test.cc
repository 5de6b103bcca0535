// SPDX-License-Identifier: Apache-2.0
#include "engine/step_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace mirage::engine {
namespace {

using Grants = std::vector<std::pair<size_t, int64_t>>;

Grants Plan(const std::vector<int64_t>& pending, const StepLimits& limits) {
  std::vector<Candidate> candidates;
  for (const int64_t tokens : pending) candidates.push_back({tokens, 0});
  Grants grants;
  for (const Grant& grant : PlanStep(candidates, limits))
    grants.emplace_back(grant.candidate, grant.tokens);
  return grants;
}

TEST(PlanStep, EveryStreamGetsItsNextToken) {
  EXPECT_EQ(Plan({1, 1, 1}, {64, 8, 16}), (Grants{{0, 1}, {1, 1}, {2, 1}}));
}

TEST(PlanStep, StreamsComeBeforePromptsThatArrivedEarlier) {
  EXPECT_EQ(Plan({100, 1, 1}, {64, 8, 16}), (Grants{{1, 1}, {2, 1}, {0, 16}}));
}

TEST(PlanStep, APromptAloneMayFillTheStep) {
  EXPECT_EQ(Plan({100}, {64, 8, 16}), (Grants{{0, 64}}));
}

TEST(PlanStep, AmongSeveralThePromptPartIsBounded) {
  EXPECT_EQ(Plan({40, 100}, {64, 8, 48}), (Grants{{0, 40}, {1, 8}}));
  EXPECT_EQ(Plan({100, 100}, {64, 8, 48}), (Grants{{0, 48}}));
}

TEST(PlanStep, PromptsShareTheirPartInOrderOfArrival) {
  EXPECT_EQ(Plan({10, 1, 10, 10}, {64, 8, 16}), (Grants{{1, 1}, {0, 10}, {2, 6}}));
}

TEST(PlanStep, StreamsLeaveAPromptSomeRoomHoweverManyTheyAre) {
  EXPECT_EQ(Plan({1, 1, 1, 9}, {4, 8, 16}), (Grants{{0, 1}, {1, 1}, {3, 2}}));
  EXPECT_EQ(Plan({1, 1, 1}, {2, 8, 16}), (Grants{{0, 1}, {1, 1}}));
  std::vector<int64_t> many(100, 1);
  many.push_back(500);
  const Grants grants = Plan(many, {64, 100, 1});
  ASSERT_EQ(grants.size(), 64u - kLeastPromptTokens + 1);
  EXPECT_EQ(grants.back(), (std::pair<size_t, int64_t>{100, kLeastPromptTokens}));
}

TEST(PlanStep, GuessesTakeWhatIsLeftOverInTurn) {
  const auto plan = [](std::vector<Candidate> candidates, const StepLimits& limits) {
    std::vector<int64_t> guesses;
    for (const Grant& grant : PlanStep(candidates, limits)) guesses.push_back(grant.guesses);
    return guesses;
  };
  EXPECT_EQ(plan({{1, 0, 5}, {1, 0, 2}}, {64, 16, 16}), (std::vector<int64_t>{5, 2}));
  // Rows: one for each stream, three are left.
  EXPECT_EQ(plan({{1, 0, 5}, {1, 0, 5}}, {64, 5, 16}), (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(plan({{1, 0, 5}, {1, 0, 5}}, {64, 2, 16}), (std::vector<int64_t>{0, 0}));
  // Tokens: a prompt takes its part first.
  EXPECT_EQ(plan({{1, 0, 5}, {30, 0, 0}}, {20, 8, 64}), (std::vector<int64_t>{0, 0}));
  EXPECT_EQ(plan({{1, 0, 5}, {17, 0, 0}}, {20, 8, 64}), (std::vector<int64_t>{2, 0}));
}

TEST(PlanStep, StreamsThatWaitedLongestComeFirst) {
  const std::vector<Candidate> candidates = {{1, 7}, {1, 5}, {1, 6}};
  std::vector<size_t> order;
  for (const Grant& grant : PlanStep(candidates, {64, 2, 16})) order.push_back(grant.candidate);
  EXPECT_EQ(order, (std::vector<size_t>{1, 2}));
}

TEST(PlanStep, APromptsLastTokenWaitsForARowOfLogits) {
  EXPECT_EQ(Plan({1, 10}, {64, 1, 16}), (Grants{{0, 1}, {1, 9}}));
  EXPECT_EQ(Plan({1, 1, 10}, {64, 2, 16}), (Grants{{0, 1}, {1, 1}, {2, 9}}));
  // Part of a prompt needs no row.
  EXPECT_EQ(Plan({1, 30}, {64, 1, 16}), (Grants{{0, 1}, {1, 16}}));
}

TEST(PlanStep, ALongPromptLeavesHalfOfItsPartToMuchShorterOnes) {
  EXPECT_EQ(Plan({1000, 1, 30, 20}, {512, 8, 64}), (Grants{{1, 1}, {3, 20}, {2, 12}, {0, 32}}));
  EXPECT_EQ(Plan({1000, 1, 300}, {512, 8, 64}), (Grants{{1, 1}, {0, 64}}));  // not so much shorter
  EXPECT_EQ(Plan({1000, 1, 5}, {512, 8, 64}), (Grants{{1, 1}, {2, 5}, {0, 59}}));
}

TEST(PlanStep, HigherPrioritiesComeFirst) {
  const std::vector<Candidate> candidates = {
      {1, 5, 0, 0}, {1, 7, 0, 2}, {100, 0, 0, 0}, {50, 0, 0, 1}};
  std::vector<size_t> order;
  for (const Grant& grant : PlanStep(candidates, {64, 8, 40, 8})) order.push_back(grant.candidate);
  EXPECT_EQ(order, (std::vector<size_t>{1, 0, 3}));
}

TEST(PlanStep, WhoeverWasLeftOutForLongComesBeforeHigherPriorities) {
  const std::vector<Candidate> candidates = {
      {1, 99, 0, 9}, {1, 100 - kStarvedSteps, 0, -1}, {1, 99, 0, 9}};
  std::vector<size_t> order;
  for (const Grant& grant : PlanStep(candidates, {64, 2, 40, 100}))
    order.push_back(grant.candidate);
  EXPECT_EQ(order, (std::vector<size_t>{1, 0}));
}

TEST(PlanStep, PromptsOfOnePriorityGoByTheirDeadlines) {
  const std::vector<Candidate> candidates = {{60, 0}, {60, 0, 0, 0, 900}, {60, 0, 0, 0, 500}};
  std::vector<size_t> order;
  for (const Grant& grant : PlanStep(candidates, {512, 8, 100, 0}))
    order.push_back(grant.candidate);
  EXPECT_EQ(order, (std::vector<size_t>{2, 1}));
}

TEST(PlanStep, NothingToDoIsAnEmptyPlan) {
  EXPECT_EQ(Plan({}, {64, 8, 16}), Grants{});
  EXPECT_EQ(Plan({1, 5}, {0, 8, 16}), Grants{});
}

TEST(PlanStep, EveryPlanKeepsItsLimitsAndGetsOn) {
  std::mt19937 random(7);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (int round = 0; round < 20000; ++round) {
    std::vector<int64_t> pending(static_cast<size_t>(1 + below(12)));
    for (int64_t& tokens : pending) tokens = below(2) == 0 ? 1 : 1 + below(100);
    const StepLimits limits{1 + below(64), 1 + below(6), 1 + below(32)};
    const Grants grants = Plan(pending, limits);
    ASSERT_FALSE(grants.empty());
    int64_t tokens = 0;
    int64_t prompt_tokens = 0;
    int rows = 0;
    std::set<size_t> seen;
    for (const auto& [candidate, granted] : grants) {
      ASSERT_TRUE(seen.insert(candidate).second);
      ASSERT_GE(granted, 1);
      ASSERT_LE(granted, pending[candidate]);
      tokens += granted;
      rows += granted == pending[candidate] ? 1 : 0;
      if (pending[candidate] > 1) prompt_tokens += granted;
    }
    ASSERT_LE(tokens, limits.tokens);
    ASSERT_LE(rows, limits.logit_rows);
    if (pending.size() > 1) {
      ASSERT_LE(prompt_tokens,
                std::max(limits.prompt_tokens, std::min(kLeastPromptTokens, limits.tokens / 2)));
    }
  }
}

}  // namespace
}  // namespace mirage::engine
