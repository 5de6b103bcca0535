// SPDX-License-Identifier: Apache-2.0

#include "sample/dry.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace mirage::sample {
namespace {

using Tokens = std::vector<int32_t>;

Params Dry() {
  Params params;
  params.dry_multiplier = 0.8f;
  return params;
}

std::shared_ptr<const TokenSequences> Set(std::vector<Tokens> sequences) {
  return std::make_shared<const TokenSequences>(std::move(sequences));
}

std::vector<float> Penalties(const Params& params, const Tokens& history, size_t vocabulary = 10) {
  std::vector<float> logits(vocabulary, 0.0f);
  Workspace workspace;
  ApplyDry(params, history, 1, logits, workspace);
  for (const int32_t left : workspace.per_token) EXPECT_EQ(left, 0);
  for (float& logit : logits) logit = -logit;
  return logits;
}

// The definition, word for word: every occurrence of every ending.
std::vector<float> Expected(const Params& params, const Tokens& history, size_t vocabulary) {
  size_t window = history.size();
  if (params.dry_penalty_last_n >= 0)
    window = std::min(window, static_cast<size_t>(params.dry_penalty_last_n));
  const Tokens text(history.end() - static_cast<ptrdiff_t>(window), history.end());
  size_t since_breaker = text.size();
  for (size_t begin = 0; params.dry_breakers && begin < text.size(); ++begin)
    for (const Tokens& breaker : params.dry_breakers->all())
      if (begin + breaker.size() <= text.size() &&
          std::equal(breaker.begin(), breaker.end(), text.begin() + static_cast<ptrdiff_t>(begin)))
        since_breaker = std::min(since_breaker, text.size() - begin - breaker.size());
  std::vector<size_t> longest(vocabulary);
  for (size_t end = 1; end < text.size(); ++end) {  // text[end] follows what may be repeated
    for (size_t n = 1; n <= end && n <= since_breaker; ++n) {
      if (!std::equal(text.end() - static_cast<ptrdiff_t>(n), text.end(),
                      text.begin() + static_cast<ptrdiff_t>(end - n)))
        break;
      longest[text[end]] = std::max(longest[text[end]], n);
    }
  }
  std::vector<float> penalties(vocabulary);
  for (size_t token = 0; token < vocabulary; ++token) {
    const auto length = static_cast<int32_t>(longest[token]);
    bool single = false;
    for (size_t i = 0; params.dry_breakers && i < params.dry_breakers->all().size(); ++i)
      single = single || params.dry_breakers->all()[i] == Tokens{static_cast<int32_t>(token)};
    if (length > 0 && length >= params.dry_allowed_length && !single)
      penalties[token] =
          static_cast<float>(double{params.dry_multiplier} *
                             std::pow(double{params.dry_base}, length - params.dry_allowed_length));
  }
  return penalties;
}

TEST(Dry, PenalizesWhatWouldProlongARepetition) {
  // "1 2 3" came before and was followed by 4: three tokens repeated, one beyond the two allowed.
  const std::vector<float> penalties = Penalties(Dry(), {1, 2, 3, 4, 5, 1, 2, 3});
  EXPECT_FLOAT_EQ(penalties[4], 0.8f * 1.75f);
  for (const size_t token : {0u, 1u, 2u, 3u, 5u, 6u}) EXPECT_EQ(penalties[token], 0) << token;
}

TEST(Dry, RepetitionsOfTheAllowedLengthCostTheMultiplierAndShorterOnesNothing) {
  EXPECT_FLOAT_EQ(Penalties(Dry(), {2, 3, 4, 2, 3})[4], 0.8f);
  EXPECT_EQ(Penalties(Dry(), {3, 4, 2, 3})[4], 0);
}

TEST(Dry, DoesNotReachBackOverABreaker) {
  Params params = Dry();
  params.dry_breakers = Set({{7}});
  EXPECT_FLOAT_EQ(Penalties(params, {7, 2, 3, 4, 7, 2, 3})[4], 0.8f);  // 7 is not of the repetition
  EXPECT_EQ(Penalties(params, {2, 7, 3, 4, 2, 7, 3})[4], 0);
  params.dry_breakers = Set({{8, 7}});
  EXPECT_FLOAT_EQ(Penalties(params, {2, 7, 3, 4, 2, 7, 3})[4], 0.8f * 1.75f);
  EXPECT_EQ(Penalties(params, {8, 7, 3, 4, 8, 7, 3})[4], 0);
}

TEST(Dry, ATokenThatBreaksIsNotPenalized) {
  Params params = Dry();
  params.dry_breakers = Set({{4}});
  EXPECT_EQ(Penalties(params, {1, 2, 3, 4, 1, 2, 3})[4], 0);
  params.dry_breakers = Set({{4, 9}});
  EXPECT_GT(Penalties(params, {1, 2, 3, 4, 1, 2, 3})[4], 0);
}

TEST(Dry, LooksAtItsWindowOnly) {
  Params params = Dry();
  const Tokens history = {1, 2, 3, 4, 1, 2, 3};
  params.dry_penalty_last_n = 6;  // the earlier 1 is outside: two tokens are repeated
  EXPECT_FLOAT_EQ(Penalties(params, history)[4], 0.8f);
  params.dry_penalty_last_n = 0;
  EXPECT_EQ(Penalties(params, history)[4], 0);
}

TEST(Dry, AnEndlessRepetitionGivesAFinitePenalty) {
  const float penalty = Penalties(Dry(), Tokens(5000, 3))[3];
  EXPECT_TRUE(std::isfinite(penalty));
  EXPECT_GT(penalty, 1e29f);
}

TEST(Dry, EqualsItsDefinitionOnRandomTexts) {
  std::mt19937 random(11);
  for (int round = 0; round < 2000; ++round) {
    Params params = Dry();
    params.dry_allowed_length = static_cast<int32_t>(random() % 4);
    params.dry_penalty_last_n = static_cast<int32_t>(random() % 40) - 1;
    std::vector<Tokens> breakers;
    for (size_t i = random() % 3; i > 0; --i) {
      Tokens breaker(1 + random() % 3);
      for (int32_t& token : breaker) token = static_cast<int32_t>(random() % 4);
      breakers.push_back(breaker);
    }
    if (!breakers.empty()) params.dry_breakers = Set(breakers);
    Tokens history(random() % 60);
    for (int32_t& token : history) token = static_cast<int32_t>(random() % (2 + round % 3));
    ASSERT_EQ(Penalties(params, history, 4), Expected(params, history, 4)) << round;
  }
}

TEST(Dry, IdsWithoutALogitAreSkipped) {
  EXPECT_FLOAT_EQ(Penalties(Dry(), {-1, 20, 3, -1, 20})[3], 0.8f);
  EXPECT_EQ(Penalties(Dry(), {1, 2, 20, 1, 2}), std::vector<float>(10));
}

}  // namespace
}  // namespace mirage::sample
