// SPDX-License-Identifier: Apache-2.0
#include "memory/region_store.h"

#include <algorithm>
#include <cassert>

#include "base/checked.h"
#include "memory/layout.h"
#include "memory/region_store_impl.h"

namespace mirage::memory {

using platform::Event;
using platform::Stream;

constexpr int kMostSlots = 4096;

std::string RegionName(RegionIndex index, const RegionId& id) {
  return "region " + std::to_string(index) + " (model " + std::to_string(id.model) + ", layer " +
         std::to_string(id.layer) + ", part " + std::to_string(id.part) + ", expert " +
         std::to_string(id.expert) + ")";
}

Error WhileFilling(Error error, RegionIndex index, const RegionId& id) {
  error.message += " (while filling " + RegionName(index, id) + ")";
  return error;
}

// ---- making and ending a store ----

Status RegionStore::Impl::Reserve(std::vector<RegionInfo> infos) {
  MIRAGE_TRY_ASSIGN(tables_,
                    Holding::Take(arena_.ledger(), Owner::kTables, TableBytes(infos.size()),
                                  "the table of regions", options_.promise));
  uint64_t total = 0;
  uint64_t largest = 0;
  regions_.resize(infos.size());
  for (RegionIndex i = 0; i < infos.size(); ++i) {
    Region& region = regions_[i];
    region.info = infos[i];
    region.home_offset = HomeOffset(total);
    const std::optional<uint64_t> end = CheckedAdd(region.home_offset, region.info.bytes);
    if (region.info.bytes == 0 || !end || *end > UINT64_MAX / 2)
      return Fail(Code::kInvalidArgument, RegionName(i, region.info.id) + " has " +
                                              std::to_string(region.info.bytes) + " bytes");
    total = *end;
    largest = std::max(largest, region.info.bytes);
    stats_.bytes_total += region.info.bytes;
  }
  stats_.bytes_lent = stats_.bytes_total;
  MIRAGE_TRY_ASSIGN(homes_, arena_.Reserve(total, options_.promise));
  for (Region& region : regions_) region.home.base = homes_.base + region.home_offset;

  slots_.resize(static_cast<size_t>(options_.slots));
  if (slots_.empty()) return {};
  const uint64_t stride = SlotStride(largest);
  MIRAGE_TRY_ASSIGN(slot_range_, arena_.Reserve(stride * slots_.size(), options_.promise));
  for (size_t i = 0; i < slots_.size(); ++i) slots_[i].place.base = slot_range_.base + i * stride;
  return {};
}

RegionStore::Impl::~Impl() {
  for (Slot& slot : slots_) {
    assert(slot.place.leases == 0);
    if (slot.abandoned) slot.abandoned->store(true);
  }
  for (const Slot& slot : slots_) slot.place.AwaitIdle();
  for (Region& region : regions_) {
    assert(region.home.leases == 0);
    region.home.AwaitIdle();
    if (region.state == RegionState::kMapped)
      arena_.ledger().Give(Owner::kMapped, region.info.bytes, options_.promise);
  }
  if (homes_.base != nullptr) arena_.Release(homes_);
  if (slot_range_.base != nullptr) arena_.Release(slot_range_);
}

Status RegionStore::Impl::CheckIndex(RegionIndex index) const {
  if (index < regions_.size()) return {};
  return Fail(Code::kInternal,
              "region " + std::to_string(index) + " of " + std::to_string(regions_.size()));
}

Status RegionStore::Impl::EnsureSlots(uint64_t until) {
  if (slots_backed_) return {};
  if (slots_.size() < 2)
    return Fail(Code::kInvalidArgument,
                "regions can be lent with 2 staging slots or more, there are " +
                    std::to_string(slots_.size()));
  MIRAGE_TRY(arena_.Back(slot_range_, 0, slot_range_.bytes, Owner::kSlots, until));
  slots_backed_ = true;
  const std::lock_guard lock(stats_mutex_);
  stats_.slot_bytes = slot_range_.bytes;
  return {};
}

Status RegionStore::Impl::BackHome(const Region& region, uint64_t until) {
  return arena_.Back(homes_, region.home_offset, region.info.bytes, Owner::kWeights, until);
}

void RegionStore::Impl::SetState(Region& region, RegionState state) {
  const auto bytes_in = [this](RegionState in) -> uint64_t& {
    if (in == RegionState::kMapped) return stats_.bytes_mapped;
    return in == RegionState::kResident ? stats_.bytes_resident : stats_.bytes_lent;
  };
  const std::lock_guard lock(stats_mutex_);
  bytes_in(region.state) -= region.info.bytes;
  bytes_in(state) += region.info.bytes;
  region.state = state;
}

// ---- lending and coming home ----

Status RegionStore::Impl::CheckLendable(RegionIndex index) const {
  MIRAGE_TRY(CheckIndex(index));
  const Region& region = regions_[index];
  if (region.state == RegionState::kLent || region.home.leases == 0) return {};
  return Fail(Code::kBusy, RegionName(index, region.info.id) + " has " +
                               std::to_string(region.home.leases) + " live leases");
}

// The home, or the mapping, is somebody else's from now on.
void RegionStore::Impl::GiveUpPlace(RegionIndex index) {
  Region& region = regions_[index];
  region.home.AwaitIdle();
  if (region.state == RegionState::kMapped) {
    source_->DropMapped(index);
    arena_.ledger().Give(Owner::kMapped, region.info.bytes, options_.promise);
    region.mapped = nullptr;
  } else {
    arena_.Unback(homes_, region.home_offset, region.info.bytes);
    region.home.fill = Event();
    region.home.uses.clear();
  }
  SetState(region, RegionState::kLent);
}

Status RegionStore::Impl::Lend(std::span<const RegionIndex> regions) {
  for (const RegionIndex index : regions) MIRAGE_TRY(CheckLendable(index));
  std::vector<std::pair<RegionIndex, RegionState>> given;
  given.reserve(regions.size());
  const uint64_t used = arena_.ledger().Snapshot().used;
  for (const RegionIndex index : regions) {
    if (regions_[index].state == RegionState::kLent) continue;
    given.emplace_back(index, regions_[index].state);
    GiveUpPlace(index);
  }
  // The slots may need what was just freed; where that is too little for them, it goes back.
  if (Status slots = EnsureSlots(used); !slots) {
    for (const auto& [index, state] : given)
      MIRAGE_TRY(state == RegionState::kMapped ? MapAgain(index, used) : Revive(index, used));
    return slots;
  }
  prefetched_to_ = order_.position();
  Prefetch();
  return {};
}

Status RegionStore::Impl::MapAgain(RegionIndex index, uint64_t until) {
  Region& region = regions_[index];
  MIRAGE_TRY(arena_.ledger().Take(Owner::kMapped, region.info.bytes,
                                  RegionName(index, region.info.id), options_.promise, until));
  region.mapped = source_->Mapped(index);
  SetState(region, RegionState::kMapped);
  return {};
}

uint64_t RegionStore::Impl::CostToRevive(RegionIndex index) const {
  const Region& region = regions_[index];
  return arena_.CostToBack(homes_, region.home_offset, region.info.bytes);
}

Status RegionStore::Impl::Revive(RegionIndex index, uint64_t until) {
  MIRAGE_TRY(CheckIndex(index));
  Region& region = regions_[index];
  if (region.state != RegionState::kLent) return {};
  Status backed = BackHome(region, until);
  if (!backed) return Fail(std::move(backed).error().Within(RegionName(index, region.info.id)));
  try {
    StartFill(region.home, index, nullptr);
  } catch (...) {
    arena_.Unback(homes_, region.home_offset, region.info.bytes);
    throw;
  }
  if (region.slot != kNoSlot) FreeSlot(slots_[static_cast<size_t>(region.slot)]);
  SetState(region, RegionState::kResident);
  region.refilled = true;
  Prefetch();
  return {};
}

// The mapping's bytes are given back before the home takes its own. A home takes whole chunks,
// which may be more than that.
Status RegionStore::Impl::LeaveMapping(RegionIndex index) {
  MIRAGE_TRY(CheckLendable(index));
  if (regions_[index].state != RegionState::kMapped) return {};
  const uint64_t used = arena_.ledger().Snapshot().used;
  GiveUpPlace(index);
  if (Revive(index, used)) return {};
  if (Status slots = EnsureSlots(used); !slots) {
    MIRAGE_TRY(MapAgain(index, used));
    return slots;
  }
  prefetched_to_ = order_.position();
  Prefetch();
  return {};
}

StoreStats RegionStore::Impl::Stats() const {
  const FillLog::Totals fills = fills_.Sum();
  const std::lock_guard lock(stats_mutex_);
  StoreStats stats = stats_;
  stats.slots = static_cast<uint64_t>(options_.slots);
  stats.bytes_streamed = fills.bytes;
  stats.hidden_ns = fills.hidden_ns;
  stats.unhidden_ns = fills.unhidden_ns;
  return stats;
}

// ---- the public face ----

Lease::Lease(Lease&& other) noexcept { *this = std::move(other); }

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    End();
    store_ = std::exchange(other.store_, nullptr);
    stream_ = other.stream_;
    data_ = std::exchange(other.data_, nullptr);
    region_ = other.region_;
    slot_ = other.slot_;
    ended_ = std::move(other.ended_);
  }
  return *this;
}

void Lease::End() {
  if (store_ == nullptr) return;
  std::exchange(store_, nullptr)->EndLease(region_, slot_, *stream_, ended_);
  data_ = nullptr;
}

RegionStore::RegionStore() = default;
RegionStore::~RegionStore() = default;

Result<std::unique_ptr<RegionStore>> RegionStore::Create(Arena& arena, TransferEngine& transfer,
                                                         const Clock& clock,
                                                         std::vector<RegionInfo> regions,
                                                         std::shared_ptr<const RegionSource> source,
                                                         Options options) {
  if (regions.empty()) return Fail(Code::kInvalidArgument, "a model without regions");
  if (options.slots < 0 || options.slots == 1 || options.slots > kMostSlots)
    return Fail(Code::kInvalidArgument, std::to_string(options.slots) +
                                            " staging slots; there can be 0 or 2 to " +
                                            std::to_string(kMostSlots));
  std::unique_ptr<RegionStore> store(new RegionStore);
  store->impl_ =
      std::make_unique<Impl>(arena, transfer, clock, std::move(source), options, regions.size());
  MIRAGE_TRY(store->impl_->Reserve(std::move(regions)));
  return store;
}

Status RegionStore::Load(const std::vector<bool>& resident,
                         const std::function<bool(uint64_t, uint64_t)>& progress) {
  return impl_->Load(resident, progress);
}
void RegionStore::Announce(std::span<const RegionIndex> order) { impl_->Announce(order); }
void RegionStore::AnnounceFirst(std::span<const RegionIndex> regions) {
  impl_->AnnounceFirst(regions);
}
Result<Lease> RegionStore::Acquire(RegionIndex region, Stream& stream) {
  return impl_->Acquire(*this, region, stream);
}
void RegionStore::EndLease(RegionIndex region, int slot, Stream& stream, const Event& ended) {
  impl_->EndLease(region, slot, stream, ended);
}
Status RegionStore::Lend(std::span<const RegionIndex> regions) { return impl_->Lend(regions); }
uint64_t RegionStore::CostToRevive(RegionIndex region) const { return impl_->CostToRevive(region); }
Status RegionStore::Revive(RegionIndex region) { return impl_->Revive(region); }
Status RegionStore::LeaveMapping(RegionIndex region) { return impl_->LeaveMapping(region); }

size_t RegionStore::region_count() const { return impl_->regions_.size(); }
const RegionInfo& RegionStore::info(RegionIndex region) const {
  return impl_->regions_[region].info;
}
RegionState RegionStore::state(RegionIndex region) const {
  const Region& found = impl_->regions_[region];
  return found.slot != kNoSlot ? RegionState::kStreaming : found.state;
}
bool RegionStore::any_mapped() const { return impl_->stats_.bytes_mapped > 0; }
uint64_t RegionStore::uses(RegionIndex region) const { return impl_->regions_[region].uses; }
int RegionStore::slots() const { return impl_->options_.slots; }
uint64_t RegionStore::slot_bytes() const { return impl_->slot_range_.bytes; }
uint64_t RegionStore::TableBytes(size_t regions) {
  constexpr size_t kEventBytes = 96;  // of the last lease, with its allocation
  return regions *
         (sizeof(Region) + sizeof(Place::Use) + kEventBytes + 2 * sizeof(AnnouncedOrder::Position));
}
bool RegionStore::fills_overlap_compute() const { return impl_->transfer_.overlaps_compute(); }

StoreStats RegionStore::Stats() const { return impl_->Stats(); }

}  // namespace mirage::memory
