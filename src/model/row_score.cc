// SPDX-License-Identifier: Apache-2.0
#include "model/row_score.h"

#include <algorithm>
#include <cmath>

namespace mirage::model {

RowScore::RowScore(int32_t target, int32_t top_count)
    : target_(target), top_count_(static_cast<size_t>(top_count)) {
  top_.reserve(top_count_);
}

void RowScore::Add(int32_t first_token, std::span<const float> logits) {
  AddToSum(logits);
  AddToTop(first_token, logits);
  const int64_t target = int64_t{target_} - first_token;
  if (target >= 0 && target < static_cast<int64_t>(logits.size()))
    target_logit_ = logits[static_cast<size_t>(target)];
}

double RowScore::LogSum() const { return max_ + std::log(sum_); }

void RowScore::AddToSum(std::span<const float> logits) {
  for (const float logit : logits) {
    if (logit > max_) {
      sum_ *= std::exp(static_cast<double>(max_) - logit);
      max_ = logit;
    }
    sum_ += std::exp(static_cast<double>(logit) - max_);
  }
}

void RowScore::AddToTop(int32_t first_token, std::span<const float> logits) {
  if (top_count_ == 0) return;
  for (size_t i = 0; i < logits.size(); ++i) {
    const Ranked ranked{first_token + static_cast<int32_t>(i), logits[i]};
    if (top_.size() == top_count_) {
      if (!Likelier(ranked, top_.front())) continue;
      std::pop_heap(top_.begin(), top_.end(), Likelier);
      top_.pop_back();
    }
    top_.push_back(ranked);
    std::push_heap(top_.begin(), top_.end(), Likelier);
  }
}

void RowScore::WriteTop(std::span<TokenLogprob> top) const {
  std::vector<Ranked> ranked = top_;
  std::sort_heap(ranked.begin(), ranked.end(), Likelier);
  const double log_sum = LogSum();
  for (size_t i = 0; i < top.size(); ++i)
    top[i] = {ranked[i].token, static_cast<float>(ranked[i].logit - log_sum)};
}

}  // namespace mirage::model
