// SPDX-License-Identifier: Apache-2.0
#pragma once

// WeightLender: lends a model's weights while it runs, and brings them home.
//
// How many regions are lent is somebody else's decision; which ones is LendOrder's. The bytes go to
// the ledger, for whoever takes them next. The engine thread.

#include <cstdint>
#include <vector>

#include "memory/ledger.h"
#include "memory/region_store.h"
#include "memory/transfer.h"

namespace mirage::memory {

class WeightLender {
 public:
  // All outlive the object.
  WeightLender(RegionStore& store, const Ledger& ledger, const TransferEngine& transfer);

  // Lends regions until the ledger has given out `bytes` less, or all are lent: what it has given
  // out less by now, 0 when nothing could be. The first time the staging slots take their part of
  // it.
  [[nodiscard]] uint64_t Lend(uint64_t bytes);
  // Brings one region home, the last that would be lent, where the ledger then still has `spare`
  // bytes. False when none is lent or there is no room.
  [[nodiscard]] bool Revive(uint64_t spare);

  // Takes about `bytes` of regions that are read in place into homes of their own, or lends them
  // where there is no room for that. False when none are left.
  [[nodiscard]] bool LeaveMapping(uint64_t bytes);

  // What Lend could give at most.
  [[nodiscard]] uint64_t lendable_bytes() const;
  [[nodiscard]] uint64_t lent_bytes() const { return store_.Stats().bytes_lent; }
  // About how long it takes to fill so many bytes, learnt from all that the transfer engine moved.
  [[nodiscard]] double FillNs(uint64_t bytes) const;
  // About how much longer a pass of `pass_ns` becomes with so many bytes lent in all. Regions lie
  // evenly in a pass, so fills that overlap compute are hidden while all of them take no longer
  // than it does; others are time lost.
  [[nodiscard]] double UnhiddenNs(uint64_t lent, double pass_ns) const;
  // What passes have waited for fills so far.
  [[nodiscard]] int64_t waited_ns() const { return store_.Stats().unhidden_ns; }

 private:
  [[nodiscard]] bool lent(RegionIndex region) const;

  RegionStore& store_;
  const Ledger& ledger_;
  const TransferEngine& transfer_;
  const std::vector<RegionIndex> order_;
};

}  // namespace mirage::memory
