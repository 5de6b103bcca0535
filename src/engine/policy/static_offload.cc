// SPDX-License-Identifier: Apache-2.0

// static-offload: a fixed share of the weights, chosen when a model is loaded and spread over its
// layers, is read in every pass, as by the prefetching offloaders of vLLM and SGLang. What runs out
// beyond that is computed again.

#include "engine/policy/shortage_policy.h"

namespace mirage::engine {
namespace {

class StaticOffload final : public ShortagePolicy {
 public:
  const char* name() const override { return "static-offload"; }
  bool offloads() const override { return true; }
};

}  // namespace

const ShortagePolicy& StaticOffloadPolicy() {
  static const StaticOffload policy;
  return policy;
}

}  // namespace mirage::engine
