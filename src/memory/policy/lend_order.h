// SPDX-License-Identifier: Apache-2.0
#pragma once

// LendOrder: in which order a model's regions are lent, one after the other, while it runs.
//
// Whatever the number that is lent, they lie about evenly in the order of a pass, which begins
// again where it ends, so that every fill has as much compute to hide behind as the others; and a
// region that is lent stays lent when more are, so that lending more moves nothing. Small regions
// free little and come last.
//
// A pure function.

#include <cstdint>
#include <span>
#include <vector>

#include "memory/region.h"

namespace mirage::memory {

// All regions, each once; `region_bytes` in the order of need.
[[nodiscard]] std::vector<RegionIndex> LendOrder(std::span<const uint64_t> region_bytes);

}  // namespace mirage::memory
