// SPDX-License-Identifier: Apache-2.0
#pragma once

// Policies that take a model's weights away while it runs, as a governor might, only far too often.

#include <algorithm>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "model/model.h"
#include "tests/model/test_host.h"

namespace mirage::model {

enum class Lending {
  kAfterEveryStep,   // every region
  kAfterEveryLayer,  // every region
  kAndBack,          // every region, and home again, after every step
  kAtRandom,         // half of the regions, and some home again, after every layer
};

[[nodiscard]] inline std::string NameOf(Lending lending) {
  switch (lending) {
    case Lending::kAfterEveryStep:
      return "after_every_step";
    case Lending::kAfterEveryLayer:
      return "after_every_layer";
    case Lending::kAndBack:
      return "and_back";
    case Lending::kAtRandom:
      break;
  }
  return "at_random";
}

class Lender {
 public:
  Lender(memory::RegionStore& store, Lending lending) : store_(store), lending_(lending) {}

  [[nodiscard]] Status AfterStep() {
    if (lending_ == Lending::kAfterEveryStep || lending_ == Lending::kAndBack)
      MIRAGE_TRY(LendWhere([](size_t) { return true; }));
    if (lending_ == Lending::kAndBack) MIRAGE_TRY(ReviveWhere([](size_t) { return true; }));
    return {};
  }
  // When a pass asks whether it is still wanted, which it does a few times in every layer. Leased
  // regions stay.
  [[nodiscard]] Status WhenAsked() {
    constexpr int kQuestionsPerLayer = 5;
    if (++questions_ % kQuestionsPerLayer != 0) return {};
    if (lending_ == Lending::kAfterEveryLayer) return LendWhere([](size_t) { return true; });
    if (lending_ != Lending::kAtRandom) return {};
    MIRAGE_TRY(LendWhere([&](size_t) { return random_() % 2 == 0; }));
    return ReviveWhere([&](size_t) { return random_() % 4 == 0; });
  }

 private:
  Status LendWhere(const std::function<bool(size_t)>& chosen) {
    for (size_t i = 0; i < store_.region_count(); ++i) {
      if (!chosen(i)) continue;
      Status lent = store_.Lend(static_cast<memory::RegionIndex>(i));
      if (!lent && lent.error().code != Code::kBusy) return lent;
    }
    return {};
  }
  Status ReviveWhere(const std::function<bool(size_t)>& chosen) {
    for (size_t i = 0; i < store_.region_count(); ++i)
      if (chosen(i)) MIRAGE_TRY(store_.Revive(static_cast<memory::RegionIndex>(i)));
    return {};
  }

  memory::RegionStore& store_;
  const Lending lending_;
  int questions_ = 0;
  std::mt19937 random_{5};
};

// RunInChunks, token by token, under a policy; the first step too finds its weights gone.
[[nodiscard]] inline Result<std::vector<float>> RunLending(Model& model,
                                                           std::span<const int32_t> tokens,
                                                           Lending lending) {
  Lender lender(model.regions(), lending);
  MIRAGE_TRY(lender.AfterStep());
  std::vector<float> rows;
  kv::SequenceCache cache(model.pages());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto end = static_cast<int64_t>(i) + 1;
    MIRAGE_TRY(cache.Reserve(end));
    const Slice slice{&cache, tokens.subspan(i, 1), true};
    Status lent;
    const auto within_step = [&] {
      lent = lender.WhenAsked();
      return !lent;
    };
    Status done = model.Forward({&slice, 1}, within_step);
    MIRAGE_TRY(lent);
    MIRAGE_TRY(done);
    cache.Commit(end);
    const std::span<float> logits = model.Logits(0);
    rows.insert(rows.end(), logits.begin(), logits.end());
    MIRAGE_TRY(lender.AfterStep());
  }
  return rows;
}

// The largest limit under which homes and slots take at most `share` of the weights.
[[nodiscard]] inline uint64_t LimitForWeights(const format::ModelFile& file, PlanRequest request,
                                              double share) {
  const auto fits = [&](uint64_t limit) {
    request.limit_bytes = limit;
    const Result<Plan> plan = MakePlan(file, request);
    return !plan || static_cast<double>(plan->weights + plan->slot_bytes) <=
                        share * static_cast<double>(plan->weights_total);
  };
  uint64_t low = 0;
  uint64_t high = uint64_t{1} << 40;
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace mirage::model
