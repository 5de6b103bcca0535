// SPDX-License-Identifier: Apache-2.0

// Acquiring: where a region's bytes are found or put, and what is filled ahead.

#include <cassert>
#include <new>

#include "memory/region_store_impl.h"

namespace mirage::memory {

using platform::Event;
using platform::Stream;

void RegionStore::Impl::StartFill(Place& place, RegionIndex index,
                                  std::shared_ptr<std::atomic<bool>> abandoned) {
  const Region& region = regions_[index];
  const std::span<std::byte> bytes(place.base, region.info.bytes);
  auto job = [source = source_, index, id = region.info.id, bytes,
              abandoned = std::move(abandoned)]() -> Status {
    if (abandoned && abandoned->load()) return Fail(Code::kCancelled, "the fill is wanted no more");
    Status filled = source->Fill(index, bytes);
    if (!filled) return Fail(WhileFilling(std::move(filled).error(), index, id));
    return {};
  };
  place.fill = transfer_.Submit(std::move(job), region.info.bytes, place.Pending());
  place.uses.clear();
  place.reported = false;
  fills_.Add(place.fill, region.info.bytes);
}

// The slot is the region's only once its fill is under way.
void RegionStore::Impl::FillSlot(Slot& slot, RegionIndex index) {
  FreeSlot(slot);
  auto abandoned = std::make_shared<std::atomic<bool>>(false);
  StartFill(slot.place, index, abandoned);
  slot.abandoned = std::move(abandoned);
  slot.region = index;
  regions_[index].slot = static_cast<int>(&slot - slots_.data());
}

void RegionStore::Impl::FreeSlot(Slot& slot) {
  if (slot.region == kNobody) return;
  // A fill that somebody waits for must end as it would.
  if (slot.place.leases == 0 && !slot.place.reported) slot.abandoned->store(true);
  prefetched_to_ = std::min(prefetched_to_, order_.next_use(slot.region));
  regions_[slot.region].slot = kNoSlot;
  slot.region = kNobody;
}

// A slot for a region that is needed now, or, with `needed_at`, at that position. Slots whose
// region nothing announced needs go first. A fill ahead of its time then takes what is free
// soonest, as long as it is needed later than the fill; one that is needed now takes what is needed
// last. nullptr when there is none.
Slot* RegionStore::Impl::ChooseSlot(std::optional<AnnouncedOrder::Position> needed_at) {
  struct Rank {
    AnnouncedOrder::Position use;  // later is better
    uint64_t freed;                // earlier is better
    bool Before(const Rank& other) const {
      return use != other.use ? use > other.use : freed < other.freed;
    }
  };
  Slot* best = nullptr;
  Rank best_rank{};
  for (Slot& slot : slots_) {
    if (slot.place.leases > 0) continue;
    const AnnouncedOrder::Position use =
        slot.region == kNobody ? AnnouncedOrder::kNever : order_.next_use(slot.region);
    if (needed_at && use <= *needed_at) continue;
    const Rank rank{needed_at && use != AnnouncedOrder::kNever ? 0 : use, slot.last_lease_end};
    if (best != nullptr && !rank.Before(best_rank)) continue;
    best = &slot;
    best_rank = rank;
  }
  return best;
}

// Fills the regions announced next into slots that nothing needs sooner.
void RegionStore::Impl::Prefetch() {
  for (prefetched_to_ = std::max(prefetched_to_, order_.position()); prefetched_to_ < order_.end();
       ++prefetched_to_) {
    const RegionIndex index = order_.at(prefetched_to_);
    const Region& region = regions_[index];
    if (region.state != RegionState::kLent || region.slot != kNoSlot) continue;
    if (!EnsureSlots()) return;  // the acquire will say so
    Slot* const slot = ChooseSlot(prefetched_to_);
    if (slot == nullptr) return;
    FillSlot(*slot, index);
  }
}

void RegionStore::Impl::Announce(std::span<const RegionIndex> order) {
  assert(std::all_of(order.begin(), order.end(),
                     [this](RegionIndex i) { return i < regions_.size(); }));
  order_.Replace(order);
  prefetched_to_ = 0;
  Prefetch();
}

void RegionStore::Impl::AnnounceFirst(std::span<const RegionIndex> regions) {
  assert(std::all_of(regions.begin(), regions.end(),
                     [this](RegionIndex i) { return i < regions_.size(); }));
  order_.Prepend(regions);
  prefetched_to_ = 0;
  Prefetch();
}

Status RegionStore::Impl::PlaceInSlot(RegionIndex index) {
  MIRAGE_TRY(EnsureSlots());
  Slot* const slot =
      ChooseSlot(std::nullopt);  // what is needed now goes before whatever was announced
  if (slot == nullptr)
    return Fail(Code::kInternal, RegionName(index, regions_[index].info.id) + " finds all " +
                                     std::to_string(slots_.size()) +
                                     " staging slots in use by live leases");
  FillSlot(*slot, index);
  return {};
}

// Reports a failed fill once, then fills again.
Status RegionStore::Impl::CheckFill(Place& place, RegionIndex index) {
  if (!place.fill.failed()) return {};
  if (!std::exchange(place.reported, true) || place.leases > 0) return place.fill.Wait();
  StartFill(place, index, nullptr);
  return {};
}

Result<Lease> RegionStore::Impl::Acquire(RegionStore& store, RegionIndex index, Stream& stream) {
  MIRAGE_TRY(CheckIndex(index));
  Region& region = regions_[index];
  Lease lease;
  Place* place = &region.home;
  order_.Consume(index);
  if (region.state == RegionState::kMapped) {
    lease.data_ = region.mapped;
  } else {
    if (region.state == RegionState::kLent) {
      if (region.slot == kNoSlot) MIRAGE_TRY(PlaceInSlot(index));
      lease.slot_ = region.slot;
      place = &slots_[static_cast<size_t>(region.slot)].place;
    }
    MIRAGE_TRY(CheckFill(*place, index));
    lease.data_ = place->base;
  }
  lease.ended_ = Event::Pending();
  place->BeginUse(stream);
  lease.store_ = &store;
  lease.stream_ = &stream;
  lease.region_ = index;
  place->reported = true;
  ++region.uses;
  CountAcquire(lease.slot_ != kNoSlot ||
               (region.state == RegionState::kResident && region.refilled));
  Prefetch();  // before the wait, which on an inline stream blocks
  stream.Wait(place->fill);
  return lease;
}

void RegionStore::Impl::CountAcquire(bool streamed) {
  const std::lock_guard lock(stats_mutex_);
  ++stats_.acquires;
  if (streamed) ++stats_.acquires_streamed;
}

void RegionStore::Impl::EndLease(RegionIndex index, int slot, Stream& stream, const Event& ended) {
  Place* place = &regions_[index].home;
  if (slot != kNoSlot) {
    place = &slots_[static_cast<size_t>(slot)].place;
    slots_[static_cast<size_t>(slot)].last_lease_end = ++lease_ends_;
  }
  assert(place->leases > 0);
  place->EndUse(stream, ended);
  try {
    Prefetch();
  } catch (const std::bad_alloc&) {
    // Leases end in destructors. What could not be filled ahead is filled by its acquire.
  }
}

}  // namespace mirage::memory
