// SPDX-License-Identifier: Apache-2.0

// remap: weights are lent, and read in every pass until there is room for them again
// (arXiv 2507.11507). A request is computed again only when all that can be lent is.

#include "engine/policy/shortage_policy.h"

namespace mirage::engine {
namespace {

class Remap final : public ShortagePolicy {
 public:
  const char* name() const override { return "remap"; }
  bool may_lend() const override { return true; }
  bool Lends(const ShortageCosts& /*costs*/) const override { return true; }
};

}  // namespace

const ShortagePolicy& RemapPolicy() {
  static const Remap policy;
  return policy;
}

}  // namespace mirage::engine
