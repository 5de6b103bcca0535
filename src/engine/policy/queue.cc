// SPDX-License-Identifier: Apache-2.0

// queue: nobody who has started gives anything up; requests wait before they start.

#include "engine/policy/shortage_policy.h"

namespace mirage::engine {
namespace {

class Queue final : public ShortagePolicy {
 public:
  const char* name() const override { return "queue"; }
  bool starts_whole() const override { return true; }
};

}  // namespace

const ShortagePolicy& QueuePolicy() {
  static const Queue policy;
  return policy;
}

}  // namespace mirage::engine
