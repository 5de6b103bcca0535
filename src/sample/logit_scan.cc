// SPDX-License-Identifier: Apache-2.0

#include "sample/logit_scan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace mirage::sample {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The compilers' own vectors: loops over arrays of lanes are left scalar by gcc 12.
using Lanes = float __attribute__((vector_size(16)));
using Masks = int32_t __attribute__((vector_size(16)));
constexpr size_t kLanes = sizeof(Lanes) / sizeof(float);
static_assert(LogitScan::kBlock % (4 * kLanes) == 0);

// The highest of a block; raises `bad` where one does not compare.
float ScanWholeBlock(const float* logits, Masks& bad) {
  constexpr size_t kChains = 4;  // independent, so that none waits for the one before
  std::array<Lanes, kChains> max;
  max.fill(Lanes{} + kForbidden);
  const Lanes infinity = Lanes{} + kInfinity;
  Masks spoilt{};
  for (size_t i = 0; i < LogitScan::kBlock; i += kChains * kLanes) {
    for (size_t chain = 0; chain < kChains; ++chain) {
      Lanes row;
      std::memcpy(&row, logits + i + chain * kLanes, sizeof row);
      spoilt |= ~(row < infinity);
      max[chain] = row > max[chain] ? row : max[chain];
    }
  }
  bad |= spoilt;
  const Lanes low = max[0] > max[1] ? max[0] : max[1];
  const Lanes high = max[2] > max[3] ? max[2] : max[3];
  const Lanes all = low > high ? low : high;
  float highest = kForbidden;
  for (size_t lane = 0; lane < kLanes; ++lane) highest = std::max(highest, all[lane]);
  return highest;
}

// Adds up value(logit) over all logits in lanes, so that it does not take an addition's latency per
// token; always in the same order.
template <typename Value>
double SumOver(std::span<const float> logits, Value value) {
  constexpr size_t kSums = 8;
  std::array<double, kSums> sums{};
  size_t i = 0;
  for (; i + kSums <= logits.size(); i += kSums)
    for (size_t lane = 0; lane < kSums; ++lane) sums[lane] += value(logits[i + lane]);
  for (; i < logits.size(); ++i) sums[0] += value(logits[i]);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace

LogitScan::LogitScan(std::span<const float> logits, std::vector<float>& block_max)
    : logits_(logits) {
  const size_t whole = logits.size() / kBlock;
  const std::span<const float> rest = logits.subspan(whole * kBlock);
  block_max.resize(whole + (rest.empty() ? 0 : 1));
  Masks bad{};
  for (size_t block = 0; block < whole; ++block)
    block_max[block] = ScanWholeBlock(logits.data() + block * kBlock, bad);
  comparable_ = true;
  for (size_t lane = 0; lane < kLanes; ++lane) comparable_ = comparable_ && bad[lane] == 0;
  if (!rest.empty()) {
    block_max.back() = *std::max_element(rest.begin(), rest.end());
    for (const float logit : rest) comparable_ = comparable_ && logit < kInfinity;
  }
  max_ = block_max.empty() ? kForbidden : *std::max_element(block_max.begin(), block_max.end());
  block_max_ = block_max;
}

int32_t LogitScan::ArgMax() const {
  if (max_ == kForbidden) return -1;
  const auto block = std::find(block_max_.begin(), block_max_.end(), max_) - block_max_.begin();
  const auto begin = logits_.begin() + block * static_cast<ptrdiff_t>(kBlock);
  return static_cast<int32_t>(std::find(begin, logits_.end(), max_) - logits_.begin());
}

void LogitScan::Highest(size_t k, std::vector<Candidate>& best) const {
  best.clear();
  if (k == 0) return;
  if (k >= logits_.size()) {
    All(best);
    std::sort(best.begin(), best.end(), Before);
    return;
  }
  // A buffer of a few times k: when it is full the lower part is dropped, and its k-th becomes the
  // bar. Each drop frees at least as many slots as it keeps, so the pass is linear in any order.
  const size_t slots = std::max<size_t>(4 * k, 256);
  best.reserve(std::min(slots, logits_.size()));
  float bar = kForbidden;
  const auto keep_best = [&] {
    if (best.size() <= k) return;
    std::nth_element(best.begin(), best.begin() + static_cast<ptrdiff_t>(k - 1), best.end(),
                     Before);
    best.resize(k);
    bar = best.back().logit;
  };
  for (size_t block = 0; block < block_max_.size(); ++block) {
    if (!(block_max_[block] > bar)) continue;
    const size_t end = std::min((block + 1) * kBlock, logits_.size());
    for (size_t i = block * kBlock; i < end; ++i) {
      // A tie with the bar loses: the k held already have lower ids.
      if (!(logits_[i] > bar)) continue;
      best.push_back({static_cast<int32_t>(i), logits_[i]});
      if (best.size() == slots) keep_best();
    }
  }
  keep_best();
  std::sort(best.begin(), best.end(), Before);
}

void LogitScan::AtLeast(double bar, std::vector<Candidate>& candidates) const {
  candidates.clear();
  for (size_t block = 0; block < block_max_.size(); ++block) {
    if (block_max_[block] < bar) continue;
    const size_t end = std::min((block + 1) * kBlock, logits_.size());
    for (size_t i = block * kBlock; i < end; ++i)
      if (!(logits_[i] < bar)) candidates.push_back({static_cast<int32_t>(i), logits_[i]});
  }
}

void LogitScan::All(std::vector<Candidate>& candidates) const {
  candidates.clear();
  candidates.reserve(logits_.size());
  for (size_t i = 0; i < logits_.size(); ++i)
    if (logits_[i] != kForbidden) candidates.push_back({static_cast<int32_t>(i), logits_[i]});
}

LogitScan::Moments LogitScan::ComputeMoments() const {
  const double count =
      SumOver(logits_, [](float logit) { return logit != kForbidden ? 1.0 : 0.0; });
  const double mean =
      SumOver(logits_, [](float logit) { return logit != kForbidden ? double{logit} : 0.0; }) /
      count;
  const double squares = SumOver(logits_, [mean](float logit) {
    const double distance = double{logit} - mean;
    return logit != kForbidden ? distance * distance : 0.0;
  });
  return {mean, std::sqrt(squares / count)};
}

double LogitScan::SumWeights(double temperature) const {
  const double max = max_;
  return SumOver(logits_,
                 [=](float logit) { return std::exp((double{logit} - max) / temperature); });
}

}  // namespace mirage::sample
