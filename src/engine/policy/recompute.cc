// SPDX-License-Identifier: Apache-2.0

// recompute: a request that came later gives up its pages and is computed again, as in vLLM.

#include "engine/policy/shortage_policy.h"

namespace mirage::engine {
namespace {

class Recompute final : public ShortagePolicy {
 public:
  const char* name() const override { return "recompute"; }
};

}  // namespace

const ShortagePolicy& RecomputePolicy() {
  static const Recompute policy;
  return policy;
}

}  // namespace mirage::engine
