// SPDX-License-Identifier: Apache-2.0
#include "engine/policy/shortage_policy.h"

#include <algorithm>
#include <array>

namespace mirage::engine {

std::span<const ShortagePolicy* const> ShortagePolicies() {
  static const std::array policies{&HybridPolicy(), &RecomputePolicy(), &RemapPolicy(),
                                   &QueuePolicy(),  &SwapPolicy(),      &StaticOffloadPolicy()};
  return policies;
}

const ShortagePolicy* FindShortagePolicy(std::string_view name) {
  const auto all = ShortagePolicies();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const auto* policy) { return policy->name() == name; });
  return found == all.end() ? nullptr : *found;
}

std::string ShortagePolicyNames() {
  std::string names;
  const auto all = ShortagePolicies();
  for (size_t i = 0; i < all.size(); ++i) {
    if (i > 0) names += i + 1 == all.size() ? " or " : ", ";
    names += all[i]->name();
  }
  return names;
}

}  // namespace mirage::engine
