// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a RegionStore is made of; shared by its source files only.
//
// A region's bytes are in its home, in a slot, in both (a lease on the slot outlives the region's
// coming home) or nowhere. A slot belongs to the region whose fill it was last given, until another
// one needs it. All but Stats is of the engine thread. A call that throws for want of memory leaves
// every region as it was or lent.

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "memory/announced_order.h"
#include "memory/fill_log.h"
#include "memory/region_place.h"
#include "memory/region_store.h"

namespace mirage::memory {

inline constexpr RegionIndex kNobody = std::numeric_limits<RegionIndex>::max();
inline constexpr int kNoSlot = -1;

struct Region {
  RegionInfo info;
  RegionState state = RegionState::kLent;  // never kStreaming: that is kLent with a slot
  const std::byte* mapped = nullptr;
  uint64_t home_offset = 0;
  Place home;
  bool refilled = false;  // the home was filled after the load
  int slot = kNoSlot;
  uint64_t uses = 0;
};

struct Slot {
  Place place;
  RegionIndex region = kNobody;
  std::shared_ptr<std::atomic<bool>> abandoned;  // the fill under way is wanted no more
  uint64_t last_lease_end = 0;                   // counts the ends of leases on slots
};

// For messages.
[[nodiscard]] std::string RegionName(RegionIndex index, const RegionId& id);
// What the source said, then which region it was for.
[[nodiscard]] Error WhileFilling(Error error, RegionIndex index, const RegionId& id);

struct RegionStore::Impl {
  Impl(Arena& arena, TransferEngine& transfer, const Clock& clock,
       std::shared_ptr<const RegionSource> source, Options options, size_t regions)
      : arena_(arena),
        transfer_(transfer),
        clock_(clock),
        source_(std::move(source)),
        options_(options),
        order_(regions) {}
  ~Impl();

  // region_store.cc: making and ending, lending and coming home
  Status Reserve(std::vector<RegionInfo> infos);
  Status Lend(std::span<const RegionIndex> regions);
  Status CheckLendable(RegionIndex index) const;
  void GiveUpPlace(RegionIndex index);
  Status Revive(RegionIndex index, uint64_t until = 0);
  // LENT, and not long ago mapped, to MAPPED.
  Status MapAgain(RegionIndex index, uint64_t until);
  uint64_t CostToRevive(RegionIndex index) const;
  Status LeaveMapping(RegionIndex index);
  StoreStats Stats() const;
  Status CheckIndex(RegionIndex index) const;
  Status EnsureSlots(uint64_t until = 0);  // see Ledger::Take
  Status BackHome(const Region& region, uint64_t until = 0);
  void SetState(Region& region, RegionState state);

  // region_load.cc
  class Loading;
  Status Load(const std::vector<bool>& resident,
              const std::function<bool(uint64_t, uint64_t)>& progress);

  // region_acquire.cc: filling while the model runs
  void Announce(std::span<const RegionIndex> order);
  void AnnounceFirst(std::span<const RegionIndex> regions);
  Result<Lease> Acquire(RegionStore& store, RegionIndex index, platform::Stream& stream);
  void EndLease(RegionIndex index, int slot, platform::Stream& stream,
                const platform::Event& ended);
  void CountAcquire(bool streamed);
  void StartFill(Place& place, RegionIndex index, std::shared_ptr<std::atomic<bool>> abandoned);
  void FillSlot(Slot& slot, RegionIndex index);
  void FreeSlot(Slot& slot);
  Slot* ChooseSlot(std::optional<AnnouncedOrder::Position> needed_at);
  Status PlaceInSlot(RegionIndex index);
  Status CheckFill(Place& place, RegionIndex index);
  void Prefetch();

  Arena& arena_;
  TransferEngine& transfer_;
  const Clock& clock_;
  const std::shared_ptr<const RegionSource> source_;
  const Options options_;

  std::vector<Region> regions_;
  Range homes_;
  Holding tables_;
  std::vector<Slot> slots_;
  Range slot_range_;
  bool slots_backed_ = false;
  uint64_t lease_ends_ = 0;
  bool loaded_ = false;

  AnnouncedOrder order_;
  // Entries before it are resident, in a slot or on their way.
  AnnouncedOrder::Position prefetched_to_ = 0;

  FillLog fills_;
  mutable std::mutex stats_mutex_;
  StoreStats stats_;
};

}  // namespace mirage::memory
