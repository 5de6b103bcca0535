// SPDX-License-Identifier: Apache-2.0
#include "engine/policy/shortage_policy.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace mirage::engine {

std::span<const ShortagePolicy* const> ShortagePolicies() {
  static const std::array policies{&HybridPolicy(), &RecomputePolicy(), &RemapPolicy(),
                                   &QueuePolicy(),  &SwapPolicy(),      &StaticOffloadPolicy()};
  return policies;
}

const ShortagePolicy* FindShortagePolicy(const char* name) {
  const auto all = ShortagePolicies();
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto* policy) {
    return std::strcmp(policy->name(), name) == 0;
  });
  return found == all.end() ? nullptr : *found;
}

}  // namespace mirage::engine
