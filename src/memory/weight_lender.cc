// SPDX-License-Identifier: Apache-2.0
#include "memory/weight_lender.h"

#include <algorithm>

#include "memory/policy/lend_order.h"

namespace mirage::memory {
namespace {

std::vector<RegionIndex> OrderOf(const RegionStore& store) {
  std::vector<uint64_t> bytes;
  for (RegionIndex i = 0; i < store.region_count(); ++i) bytes.push_back(store.info(i).bytes);
  return LendOrder(bytes);
}

}  // namespace

WeightLender::WeightLender(RegionStore& store, const Ledger& ledger, const TransferEngine& transfer)
    : store_(store), ledger_(ledger), transfer_(transfer), order_(OrderOf(store)) {}

bool WeightLender::lent(RegionIndex region) const {
  const RegionState state = store_.state(region);
  return state == RegionState::kLent || state == RegionState::kStreaming;
}

// Small regions share chunks of the arena with their neighbours, so that a few of them, lying
// apart, may free less than their bytes, also less than the slots take: then more are lent
// together. Counted by what is given out, since under a lowered limit nothing becomes available
// before enough has come back.
uint64_t WeightLender::Lend(uint64_t bytes) {
  const uint64_t before = ledger_.committed();
  const auto gained = [&] { return before - std::min(before, ledger_.committed()); };
  uint64_t wanted = bytes + (store_.Stats().slot_bytes == 0 ? store_.slot_bytes() : 0);
  std::vector<RegionIndex> chosen;
  uint64_t sum = 0;
  for (const RegionIndex region : order_) {
    if (lent(region)) continue;
    chosen.push_back(region);
    sum += store_.info(region).bytes;
    if (sum < wanted) continue;
    if (!store_.Lend(chosen)) {
      wanted = 2 * sum;
      continue;
    }
    if (gained() >= bytes) return gained();
    chosen.clear();
    sum = 0;
    wanted = bytes - gained();
  }
  if (!chosen.empty()) static_cast<void>(store_.Lend(chosen));
  return gained();
}

bool WeightLender::Revive(uint64_t spare) {
  for (auto it = order_.rbegin(); it != order_.rend(); ++it) {
    if (!lent(*it)) continue;
    if (ledger_.available() < store_.CostToRevive(*it) + spare) return false;
    return store_.Revive(*it).has_value();
  }
  return false;
}

bool WeightLender::LeaveMapping(uint64_t bytes) {
  uint64_t left = 0;
  for (RegionIndex i = 0; i < store_.region_count(); ++i) {
    if (store_.state(i) != RegionState::kMapped) continue;
    if (left >= bytes) return true;
    if (!store_.LeaveMapping(i)) return false;  // no room for it anywhere: read in place it stays
    left += store_.info(i).bytes;
  }
  return false;
}

uint64_t WeightLender::lendable_bytes() const {
  const StoreStats stats = store_.Stats();
  const uint64_t here = stats.bytes_resident + stats.bytes_mapped;
  const uint64_t slots = stats.slot_bytes == 0 ? store_.slot_bytes() : 0;
  return here > slots ? here - slots : 0;
}

double WeightLender::FillNs(uint64_t bytes) const {
  const TransferEngine::Totals moved = transfer_.totals();
  if (moved.bytes == 0) return 0;
  return static_cast<double>(moved.busy_ns) / static_cast<double>(moved.bytes) *
         static_cast<double>(bytes);
}

double WeightLender::UnhiddenNs(uint64_t lent, double pass_ns) const {
  const double all = FillNs(lent);
  return store_.fills_overlap_compute() ? std::max(0.0, all - pass_ns) : all;
}

}  // namespace mirage::memory
