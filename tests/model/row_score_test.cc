// SPDX-License-Identifier: Apache-2.0
#include "model/row_score.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace mirage::model {
namespace {

TEST(RowScore, IsTheLogSoftmaxAndTheLikeliestInWhateverPiecesTheRowCame) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> logits(1 + random() % 300);
    // Few values, so that there are ties.
    for (float& logit : logits) logit = static_cast<float>(random() % 20) - 30.0f;
    const auto target = static_cast<int32_t>(random() % logits.size());
    const auto top_count = static_cast<int32_t>(random() % std::min<size_t>(logits.size() + 1, 70));

    std::vector<size_t> cuts = {0, logits.size()};
    for (int i = 0; i < 4; ++i) cuts.push_back(random() % logits.size());
    std::sort(cuts.begin(), cuts.end());
    std::vector<size_t> pieces = {0, 1, 2, 3, 4};
    std::shuffle(pieces.begin(), pieces.end(), random);
    RowScore score(target, top_count);
    for (const size_t piece : pieces)
      score.Add(static_cast<int32_t>(cuts[piece]),
                std::span(logits).subspan(cuts[piece], cuts[piece + 1] - cuts[piece]));

    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    std::vector<int32_t> order(logits.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
    });
    EXPECT_NEAR(score.logprob(), logits[static_cast<size_t>(target)] - std::log(sum), 1e-9);
    std::vector<TokenLogprob> top(static_cast<size_t>(top_count));
    score.WriteTop(top);
    for (size_t i = 0; i < top.size(); ++i) {
      EXPECT_EQ(top[i].token, order[i]) << "rank " << i;
      EXPECT_NEAR(top[i].logprob, logits[static_cast<size_t>(order[i])] - std::log(sum), 1e-5);
    }
  }
}

TEST(RowScore, OfWhatIsNoNumberIsNone) {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    RowScore score(1, 2);
    const float logits[] = {1, 2, bad, 3};
    score.Add(0, logits);
    EXPECT_FALSE(std::isfinite(score.logprob()));
  }
}

}  // namespace
}  // namespace mirage::model
