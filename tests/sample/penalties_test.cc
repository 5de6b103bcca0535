// SPDX-License-Identifier: Apache-2.0

#include "sample/penalties.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace mirage::sample {
namespace {

using Tokens = std::vector<int32_t>;
using Logits = std::vector<float>;

void Apply(const Params& params, const Tokens& history, size_t output_begin, Logits& logits) {
  Workspace workspace;
  ApplyPenalties(params, history, output_begin, 1, logits, workspace);
  for (const int32_t count : workspace.per_token) EXPECT_EQ(count, 0);
}

Params Repeat(float penalty, int32_t last_n) {
  Params params;
  params.repeat_penalty = penalty;
  params.repeat_last_n = last_n;
  return params;
}

TEST(Penalties, RepeatDividesPositiveAndMultipliesNegativeOncePerToken) {
  Logits logits = {4, -4, 0, 1};
  Apply(Repeat(2, 64), Tokens{0, 1, 2, 0, 0}, 5, logits);
  EXPECT_EQ(logits, (Logits{2, -8, 0, 1}));
}

TEST(Penalties, RepeatLooksAtTheLastTokensOfPromptAndOutput) {
  Logits logits = {4, 4, 4, 4};
  Apply(Repeat(2, 2), Tokens{0, 1, 2}, 2, logits);
  EXPECT_EQ(logits, (Logits{4, 2, 2, 4}));
}

TEST(Penalties, RepeatWindowZeroIsOffAndMinusOneIsAll) {
  Logits off = {4, 4};
  Apply(Repeat(2, 0), Tokens{0, 1, 1}, 0, off);
  EXPECT_EQ(off, (Logits{4, 4}));
  Logits all = {4, 4};
  Apply(Repeat(2, -1), Tokens{0, 1, 1}, 0, all);
  EXPECT_EQ(all, (Logits{2, 2}));
}

TEST(Penalties, PresenceAndFrequencyCountTheOutputOnly) {
  Params params;
  params.presence_penalty = 0.5f;
  params.frequency_penalty = 0.25f;
  Logits logits = {1, 1, 1, 1};
  Apply(params, Tokens{0, 0, 1, 2, 2, 2}, 2, logits);
  EXPECT_EQ(logits, (Logits{1, 0.25f, -0.25f, 1}));
}

TEST(Penalties, RepeatComesBeforePresence) {
  Params params = Repeat(2, 64);
  params.presence_penalty = 1;
  Logits logits = {4, 4};
  Apply(params, Tokens{0}, 0, logits);
  EXPECT_EQ(logits, (Logits{1, 4}));  // 4 / 2 - 1, not (4 - 1) / 2
}

TEST(Penalties, ForbiddenTokensStayForbiddenAndForeignIdsAreSkipped) {
  constexpr float kForbidden = -std::numeric_limits<float>::infinity();
  Params params = Repeat(2, -1);
  params.frequency_penalty = -3;
  Logits logits = {kForbidden, 2};
  Apply(params, Tokens{-1, 0, 7, 1}, 0, logits);
  EXPECT_EQ(logits, (Logits{kForbidden, 4}));
}

}  // namespace
}  // namespace mirage::sample
