// SPDX-License-Identifier: Apache-2.0

// swap: a request that came later has its pages written to a slower tier, and read back when there
// is room for it again.

#include "engine/policy/shortage_policy.h"

namespace mirage::engine {
namespace {

class Swap final : public ShortagePolicy {
 public:
  const char* name() const override { return "swap"; }
  bool needs_swap_space() const override { return true; }
  bool Swaps(const ShortageCosts& costs) const override { return costs.can_swap; }
};

}  // namespace

const ShortagePolicy& SwapPolicy() {
  static const Swap policy;
  return policy;
}

}  // namespace mirage::engine
