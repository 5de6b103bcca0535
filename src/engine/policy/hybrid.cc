// SPDX-License-Identifier: Apache-2.0

// hybrid: what is cheapest, in the time of all who compute together.

#include <algorithm>

#include "engine/policy/shortage_policy.h"

namespace mirage::engine {
namespace {

// What is computed again takes the time of everybody. What is written and read back goes on beside
// the steps: the one that wants the pages waits for the one, and their owner for the other.
double GivingUpNs(const ShortageCosts& costs) {
  const double again = costs.token_ns * static_cast<double>(costs.victim_tokens) *
                       static_cast<double>(costs.others + 1);
  return costs.can_swap ? std::min(again, costs.swap_ns) : again;
}

class Hybrid final : public ShortagePolicy {
 public:
  const char* name() const override { return "hybrid"; }
  bool may_lend() const override { return true; }
  bool may_swap() const override { return true; }

  // Lending slows every step of everybody, the more the more is lent, so the one that would wait
  // counts by the part of all its pages that is asked for. Without it that one does not take part
  // meanwhile, and somebody's pages are computed or read again. Where nobody else computes there is
  // no choice.
  bool Lends(const ShortageCosts& costs) const override {
    if (costs.others == 0) return true;
    const auto steps = static_cast<double>(costs.steps);
    const auto all = static_cast<double>(costs.others + 1);
    return costs.fill_ns * steps * all <=
           costs.step_ns * steps * costs.waiting_share + GivingUpNs(costs);
  }

  bool Swaps(const ShortageCosts& costs) const override {
    return costs.can_swap && GivingUpNs(costs) == costs.swap_ns;
  }
};

}  // namespace

const ShortagePolicy& HybridPolicy() {
  static const Hybrid policy;
  return policy;
}

}  // namespace mirage::engine
