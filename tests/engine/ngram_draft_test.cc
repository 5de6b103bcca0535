// SPDX-License-Identifier: Apache-2.0
#include "engine/ngram_draft.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace mirage::engine {
namespace {

using Tokens = std::vector<int32_t>;

Tokens ProposedAfter(const Tokens& history, int64_t count) {
  NgramDraft draft;
  draft.Sync(history);
  return draft.Propose(history, count);
}

// The definition, by search: after the newest earlier occurrence of the longest repeated end.
Tokens Definition(const Tokens& history, int64_t count) {
  const auto size = static_cast<int64_t>(history.size());
  for (int64_t length = NgramDraft::kLongest; length >= NgramDraft::kShortest; --length)
    for (int64_t next = size - 1; next >= length; --next) {
      bool same = true;
      for (int64_t i = 0; i < length; ++i)
        same = same && history[static_cast<size_t>(next - length + i)] ==
                           history[static_cast<size_t>(size - length + i)];
      if (!same) continue;
      Tokens guess;
      for (int64_t i = 0; i < count; ++i)
        guess.push_back(history[static_cast<size_t>(next + i % (size - next))]);
      return guess;
    }
  return {};
}

TEST(NgramDraft, GuessesWhatFollowedBefore) {
  EXPECT_EQ(ProposedAfter({1, 2, 3, 4, 5, 6, 9, 1, 2, 3}, 3), (Tokens{4, 5, 6}));
}

TEST(NgramDraft, GoesOnWithARepetition) {
  EXPECT_EQ(ProposedAfter({7, 8, 7, 8, 7, 8}, 5), (Tokens{7, 8, 7, 8, 7}));
}

TEST(NgramDraft, HasNoGuessForTheUnseen) {
  EXPECT_TRUE(ProposedAfter({}, 4).empty());
  EXPECT_TRUE(ProposedAfter({1, 2}, 4).empty());
  EXPECT_TRUE(ProposedAfter({1, 2, 3, 4, 5, 6}, 4).empty());
  EXPECT_TRUE(ProposedAfter({1, 2, 3, 1, 2}, 0).empty());
}

TEST(NgramDraft, IsItsDefinitionHoweverTheHistoryCame) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    NgramDraft draft;
    Tokens history;
    const int32_t alphabet = 2 + static_cast<int32_t>(random() % 6);
    while (history.size() < 300) {
      const size_t more = 1 + random() % 40;
      for (size_t i = 0; i < more; ++i)
        history.push_back(static_cast<int32_t>(random()) % alphabet);
      draft.Sync(history);
      ASSERT_EQ(draft.Propose(history, 5), Definition(history, 5)) << history.size();
    }
  }
}

TEST(NgramDraft, ForgetsWhenCleared) {
  NgramDraft draft;
  draft.Sync(Tokens{1, 2, 3, 4, 1, 2});
  draft.Clear();
  const Tokens other = {5, 6, 7, 8, 9, 5, 6};
  draft.Sync(other);
  EXPECT_EQ(draft.Propose(other, 2), (Tokens{7, 8}));
}

TEST(DraftLength, GrowsWhileGuessesComeTrueUpToTheMost) {
  DraftLength length(16);
  int64_t now = length.Next(0);
  for (int i = 0; i < 10; ++i) {
    length.Learn(now, now);
    EXPECT_GE(length.Next(0), now);
    now = length.Next(0);
  }
  EXPECT_EQ(now, 16);
}

TEST(DraftLength, RestsLongerAndLongerWhenTheyDoNot) {
  DraftLength length(16);
  std::vector<int64_t> rests;
  for (int round = 0; round < 3; ++round) {
    for (int miss = 0; miss < 3; ++miss) length.Learn(length.Next(0), 0);
    int64_t rest = 0;
    while (length.Next(0) == 0) ++rest;
    rests.push_back(rest);
  }
  EXPECT_GT(rests[0], 0);
  EXPECT_GT(rests[1], rests[0]);
  EXPECT_GT(rests[2], rests[1]);
  length.Learn(1, 1);
  EXPECT_GT(length.Next(0), 0);
}

TEST(DraftLength, StopsWhereAPassIsMostlyItsTokensAndTriesAgainLater) {
  DraftLength length(16);
  length.Learn(8, 4);
  EXPECT_GT(length.Next(0.2), 0);
  EXPECT_EQ(length.Next(0.9), 0);
  int steps = 0;
  while (length.Next(0.9) == 0) ASSERT_LT(++steps, 1000);
  EXPECT_GT(steps, 0);
}

TEST(DraftLength, FollowsAPartlyRightGuess) {
  DraftLength length(16);
  length.Learn(8, 3);
  EXPECT_EQ(length.Next(0), 4);
}

}  // namespace
}  // namespace mirage::engine
