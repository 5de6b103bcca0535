// SPDX-License-Identifier: Apache-2.0
#pragma once

// ChooseResident: which regions of a model stay in memory under a byte budget, and which are
// streamed every pass.
//
// A forward pass reads its regions in the same order every time. Under such a cycle keeping the
// most recent or the least recent region is equally useless: whatever is kept must stay kept, so
// the choice is a fixed set. The streamed ones are spread evenly over the order, by bytes, so that
// each fill has as much compute to hide behind as the others (a region needs its bytes no faster
// than the link brings them). Large regions go first: small ones free little, since their borders
// share chunks with neighbours.
//
// A pure function.

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace mirage::memory {

struct ResidencyQuery {
  std::span<const uint64_t> region_bytes;  // in the order of need
  uint64_t budget_bytes = 0;               // for homes and slots together
  uint64_t chunk_bytes = 0;                // of the arena
  int live_leases = 1;  // the most leases on lent regions that one op holds at once
};

struct Residency {
  std::vector<bool> resident;
  int slots = 0;                // staging slots to ask for; backed only while something is streamed
  uint64_t home_bytes = 0;      // what the homes of resident regions take from the ledger
  uint64_t slot_bytes = 0;      // 0 when all are resident
  uint64_t streamed_bytes = 0;  // read from the source in every pass
};

// The least budget with which the model runs at all: everything streamed.
[[nodiscard]] uint64_t LeastResidencyBytes(const ResidencyQuery& query);

// kOutOfMemory, with the least budget as needed_bytes, when the budget is below it.
[[nodiscard]] Result<Residency> ChooseResident(const ResidencyQuery& query);

}  // namespace mirage::memory
