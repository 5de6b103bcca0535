// SPDX-License-Identifier: Apache-2.0
#pragma once

// Object: what a Value points to when it is more than a number.
//
// `depth` is 1 plus the greatest depth held, and is bounded by kMaxValueDepth when an object is
// made; so walking a value, and destroying it, recurse a bounded number of times.

#include <cstdint>
#include <memory>

#include "text/jinja/budget.h"

namespace mirage::text::jinja {

struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;

  uint32_t depth = 1;
  Charge charge;
};

// What an object costs beyond its payload: itself, its reference counts, the allocator's share.
inline constexpr uint64_t kObjectBytes = 128;

}  // namespace mirage::text::jinja
