// SPDX-License-Identifier: Apache-2.0
#include "memory/region_store.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/checked.h"
#include "memory/announced_order.h"
#include "memory/fill_log.h"
#include "memory/layout.h"

namespace mirage::memory {
namespace {

using platform::Event;
using platform::Stream;

constexpr int kMostSlots = 4096;
constexpr size_t kLoadWindow =
    8;  // fills of a load in flight, so that other models' fills get their turn
constexpr RegionIndex kNobody = std::numeric_limits<RegionIndex>::max();
constexpr int kNoSlot = -1;

// Memory that holds a region's bytes, or will: a home or a slot.
struct Place {
  // The last end of a lease on each stream: when all are done nobody reads the bytes.
  struct Use {
    const Stream* stream;
    Event ended;
  };

  std::byte* base = nullptr;
  Event fill;             // done when the bytes are there
  bool reported = false;  // the fill's outcome went to a stream, or its failure to a caller
  int leases = 0;
  std::vector<Use> uses;

  [[nodiscard]] bool failed() const { return fill.done() && !fill.Wait(); }
  // Every event that must be done before the bytes may be overwritten.
  [[nodiscard]] std::vector<Event> Pending() const {
    std::vector<Event> pending;
    if (!fill.done()) pending.push_back(fill);
    for (const Use& use : uses)
      if (!use.ended.done()) pending.push_back(use.ended);
    return pending;
  }
  // How it went does not matter to who takes the bytes.
  void AwaitIdle() const {
    for (const Event& event : Pending()) static_cast<void>(event.Wait());
  }
  void EndUse(Stream& stream) {
    const Event ended = Event::Pending();
    stream.Record(ended);
    const auto use =
        std::find_if(uses.begin(), uses.end(), [&](const Use& u) { return u.stream == &stream; });
    if (use != uses.end()) {
      use->ended = ended;
    } else {
      uses.push_back({&stream, ended});
    }
  }
};

struct Region {
  RegionInfo info;
  RegionState state = RegionState::kLent;  // never kStreaming: that is kLent with a slot
  const std::byte* mapped = nullptr;
  uint64_t home_offset = 0;
  Place home;
  bool refilled = false;  // the home was filled after the load
  int slot = kNoSlot;
};

struct Slot {
  Place place;
  RegionIndex region = kNobody;
  std::shared_ptr<std::atomic<bool>> abandoned;  // the fill under way is wanted no more
  uint64_t last_lease_end = 0;                   // counts the ends of leases on slots
};

std::string NameOf(RegionIndex index, const RegionId& id) {
  return "region " + std::to_string(index) + " (model " + std::to_string(id.model) + ", layer " +
         std::to_string(id.layer) + ", part " + std::to_string(id.part) + ", expert " +
         std::to_string(id.expert) + ")";
}

}  // namespace

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

  Status Reserve(std::vector<RegionInfo> infos);
  Status Load(const std::vector<bool>& resident,
              const std::function<bool(uint64_t, uint64_t)>& progress);
  void Announce(std::span<const RegionIndex> order);
  Result<Lease> Acquire(RegionStore& store, RegionIndex index, Stream& stream);
  void EndLease(RegionIndex index, int slot, Stream& stream);
  Status Lend(RegionIndex index);
  Status Revive(RegionIndex index);
  Status LeaveMapping(const std::vector<bool>& resident);
  Status Unmap(RegionIndex index, bool resident);
  StoreStats Stats() const;

  Status CheckIndex(RegionIndex index) const;
  Status EnsureSlots();
  Status BackHome(const Region& region);
  void SetState(Region& region, RegionState state);
  void CountAcquire(bool streamed);

  void StartFill(Place& place, RegionIndex index, std::shared_ptr<std::atomic<bool>> abandoned);
  void FillSlot(Slot& slot, RegionIndex index);
  void FreeSlot(Slot& slot);
  Slot* ChooseSlot(std::optional<AnnouncedOrder::Position> needed_at);
  Status PlaceInSlot(RegionIndex index);
  Status CheckFill(Place& place, RegionIndex index);
  void Prefetch();

  class Loading;

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
  AnnouncedOrder::Position prefetched_to_ =
      0;  // entries before it are resident, in a slot or on their way

  FillLog fills_;
  mutable std::mutex stats_mutex_;
  StoreStats stats_;
};

// ---- making and ending a store ----

Status RegionStore::Impl::Reserve(std::vector<RegionInfo> infos) {
  MIRAGE_TRY_ASSIGN(tables_, Holding::Take(arena_.ledger(), Owner::kTables,
                                           TableBytes(infos.size()), "the table of regions"));
  uint64_t total = 0;
  uint64_t largest = 0;
  regions_.resize(infos.size());
  for (RegionIndex i = 0; i < infos.size(); ++i) {
    Region& region = regions_[i];
    region.info = infos[i];
    region.home_offset = HomeOffset(total);
    const std::optional<uint64_t> end = CheckedAdd(region.home_offset, region.info.bytes);
    if (region.info.bytes == 0 || !end || *end > UINT64_MAX / 2)
      return Fail(Code::kInvalidArgument, NameOf(i, region.info.id) + " has " +
                                              std::to_string(region.info.bytes) + " bytes");
    total = *end;
    largest = std::max(largest, region.info.bytes);
    stats_.bytes_total += region.info.bytes;
  }
  stats_.bytes_lent = stats_.bytes_total;
  MIRAGE_TRY_ASSIGN(homes_, arena_.Reserve(total));
  for (Region& region : regions_) region.home.base = homes_.base + region.home_offset;

  slots_.resize(static_cast<size_t>(options_.slots));
  if (slots_.empty()) return {};
  const uint64_t stride = SlotStride(largest);
  MIRAGE_TRY_ASSIGN(slot_range_, arena_.Reserve(stride * slots_.size()));
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
      arena_.ledger().Give(Owner::kMapped, region.info.bytes);
  }
  if (homes_.base != nullptr) arena_.Release(homes_);
  if (slot_range_.base != nullptr) arena_.Release(slot_range_);
}

Status RegionStore::Impl::CheckIndex(RegionIndex index) const {
  if (index < regions_.size()) return {};
  return Fail(Code::kInternal,
              "region " + std::to_string(index) + " of " + std::to_string(regions_.size()));
}

Status RegionStore::Impl::EnsureSlots() {
  if (slots_backed_) return {};
  if (slots_.size() < 2)
    return Fail(Code::kInvalidArgument,
                "regions can be lent with 2 staging slots or more, there are " +
                    std::to_string(slots_.size()));
  MIRAGE_TRY(arena_.Back(slot_range_, 0, slot_range_.bytes, Owner::kSlots));
  slots_backed_ = true;
  const std::lock_guard lock(stats_mutex_);
  stats_.slot_bytes = slot_range_.bytes;
  return {};
}

Status RegionStore::Impl::BackHome(const Region& region) {
  return arena_.Back(homes_, region.home_offset, region.info.bytes, Owner::kWeights);
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

// ---- loading ----

// A load under way. What it took goes back unless Commit was called, whichever way it ends.
class RegionStore::Impl::Loading {
 public:
  explicit Loading(Impl& impl) : impl_(impl), backed_(impl.regions_.size(), 0) {}
  ~Loading() {
    cancelled_.store(true);
    for (const Fill& fill : in_flight_) static_cast<void>(fill.done.Wait());
    if (committed_) return;
    for (RegionIndex i = 0; i < backed_.size(); ++i) {
      const Region& region = impl_.regions_[i];
      if (backed_[i] != 0) impl_.arena_.Unback(impl_.homes_, region.home_offset, region.info.bytes);
    }
    impl_.arena_.ledger().Give(Owner::kMapped, mapped_bytes_);
  }

  // A mapped region's pages count from now on.
  Status TakeMapped(RegionIndex index) {
    const Region& region = impl_.regions_[index];
    MIRAGE_TRY(impl_.arena_.ledger().Take(Owner::kMapped, region.info.bytes,
                                          NameOf(index, region.info.id)));
    mapped_bytes_ += region.info.bytes;
    mapped_.push_back(index);
    return {};
  }

  Status FillAll(const std::vector<RegionIndex>& wanted,
                 const std::function<bool(uint64_t, uint64_t)>& progress) {
    uint64_t total = 0;
    for (const RegionIndex index : wanted) total += impl_.regions_[index].info.bytes;
    uint64_t done = 0;
    size_t next = 0;
    for (;;) {
      if (progress && !progress(done, total))
        return Fail(Code::kCancelled, "the load was cancelled after " + std::to_string(done) +
                                          " of " + std::to_string(total) + " bytes");
      while (next < wanted.size() && in_flight_.size() < kLoadWindow) Submit(wanted[next++]);
      if (in_flight_.empty()) return {};
      const Fill fill = in_flight_.front();
      Status status = fill.done.Wait();
      in_flight_.pop_front();
      MIRAGE_TRY(std::move(status));
      done += impl_.regions_[fill.region].info.bytes;
    }
  }

  void Commit() {
    committed_ = true;
    for (RegionIndex i = 0; i < backed_.size(); ++i)
      if (backed_[i] != 0) impl_.SetState(impl_.regions_[i], RegionState::kResident);
    for (const RegionIndex index : mapped_)
      impl_.SetState(impl_.regions_[index], RegionState::kMapped);
  }

 private:
  struct Fill {
    RegionIndex region;
    Event done;
  };

  // The worker also touches the home's memory first, which costs as much as reading a cached file.
  void Submit(RegionIndex index) {
    const Region& region = impl_.regions_[index];
    const auto job = [this, index, &region]() -> Status {
      if (cancelled_.load()) return Fail(Code::kCancelled, "the load ended");
      MIRAGE_TRY(impl_.BackHome(region));
      backed_[index] = 1;
      Status filled = impl_.source_->Fill(index, {region.home.base, region.info.bytes});
      if (!filled) return Fail(std::move(filled).error().Within(NameOf(index, region.info.id)));
      return {};
    };
    in_flight_.push_back({index, impl_.transfer_.Submit(job, region.info.bytes)});
  }

  Impl& impl_;
  std::atomic<bool> cancelled_{false};
  std::vector<uint8_t> backed_;  // written by the region's job, read after its event
  std::deque<Fill> in_flight_;
  std::vector<RegionIndex> mapped_;
  uint64_t mapped_bytes_ = 0;
  bool committed_ = false;
};

Status RegionStore::Impl::Load(const std::vector<bool>& resident,
                               const std::function<bool(uint64_t, uint64_t)>& progress) {
  if (loaded_) return Fail(Code::kInternal, "the model's regions are loaded already");
  if (resident.size() != regions_.size())
    return Fail(Code::kInternal, "a choice of " + std::to_string(resident.size()) +
                                     " regions for a model of " + std::to_string(regions_.size()));
  const int64_t began = clock_.NowNs();
  if (std::find(resident.begin(), resident.end(), false) != resident.end())
    MIRAGE_TRY(EnsureSlots());
  Loading loading(*this);
  std::vector<RegionIndex> to_fill;
  for (RegionIndex i = 0; i < regions_.size(); ++i) {
    if (!resident[i]) continue;
    regions_[i].mapped = options_.mapped ? source_->Mapped(i) : nullptr;
    if (regions_[i].mapped != nullptr) {
      MIRAGE_TRY(loading.TakeMapped(i));
    } else {
      to_fill.push_back(i);
    }
  }
  MIRAGE_TRY(loading.FillAll(to_fill, progress));
  loading.Commit();
  loaded_ = true;
  const std::lock_guard lock(stats_mutex_);
  stats_.load_ns = clock_.NowNs() - began;
  return {};
}

// ---- filling while the model runs ----

void RegionStore::Impl::StartFill(Place& place, RegionIndex index,
                                  std::shared_ptr<std::atomic<bool>> abandoned) {
  const Region& region = regions_[index];
  const std::span<std::byte> bytes(place.base, region.info.bytes);
  auto job = [source = source_, index, id = region.info.id, bytes,
              abandoned = std::move(abandoned)]() -> Status {
    if (abandoned && abandoned->load()) return Fail(Code::kCancelled, "the fill is wanted no more");
    Status filled = source->Fill(index, bytes);
    if (!filled) return Fail(std::move(filled).error().Within(NameOf(index, id)));
    return {};
  };
  std::vector<Event> before = place.Pending();
  place.uses.clear();
  place.reported = false;
  place.fill = transfer_.Submit(std::move(job), region.info.bytes, std::move(before));
  fills_.Add(place.fill, region.info.bytes);
}

void RegionStore::Impl::FillSlot(Slot& slot, RegionIndex index) {
  FreeSlot(slot);
  slot.region = index;
  slot.abandoned = std::make_shared<std::atomic<bool>>(false);
  regions_[index].slot = static_cast<int>(&slot - slots_.data());
  StartFill(slot.place, index, slot.abandoned);
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

Status RegionStore::Impl::PlaceInSlot(RegionIndex index) {
  MIRAGE_TRY(EnsureSlots());
  Slot* const slot =
      ChooseSlot(std::nullopt);  // what is needed now goes before whatever was announced
  if (slot == nullptr)
    return Fail(Code::kInternal, NameOf(index, regions_[index].info.id) + " finds all " +
                                     std::to_string(slots_.size()) +
                                     " staging slots in use by live leases");
  FillSlot(*slot, index);
  return {};
}

// Reports a failed fill once, then fills again.
Status RegionStore::Impl::CheckFill(Place& place, RegionIndex index) {
  if (!place.failed()) return {};
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
  lease.store_ = &store;
  lease.stream_ = &stream;
  lease.region_ = index;
  ++place->leases;
  place->reported = true;
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

void RegionStore::Impl::EndLease(RegionIndex index, int slot, Stream& stream) {
  Place* place = &regions_[index].home;
  if (slot != kNoSlot) {
    place = &slots_[static_cast<size_t>(slot)].place;
    slots_[static_cast<size_t>(slot)].last_lease_end = ++lease_ends_;
  }
  assert(place->leases > 0);
  place->EndUse(stream);
  --place->leases;
  Prefetch();
}

// ---- lending and coming home ----

Status RegionStore::Impl::Lend(RegionIndex index) {
  MIRAGE_TRY(CheckIndex(index));
  Region& region = regions_[index];
  if (region.state == RegionState::kLent) return {};
  if (region.state == RegionState::kMapped)
    return Fail(Code::kInvalidArgument,
                NameOf(index, region.info.id) + " is mapped: it has nothing to lend");
  if (region.home.leases > 0)
    return Fail(Code::kBusy, NameOf(index, region.info.id) + " has " +
                                 std::to_string(region.home.leases) + " live leases");
  MIRAGE_TRY(EnsureSlots());
  region.home.AwaitIdle();
  arena_.Unback(homes_, region.home_offset, region.info.bytes);
  region.home.fill = Event();
  region.home.uses.clear();
  SetState(region, RegionState::kLent);
  prefetched_to_ = order_.position();
  Prefetch();
  return {};
}

Status RegionStore::Impl::Revive(RegionIndex index) {
  MIRAGE_TRY(CheckIndex(index));
  Region& region = regions_[index];
  if (region.state != RegionState::kLent) return {};
  Status backed = BackHome(region);
  if (!backed) return Fail(std::move(backed).error().Within(NameOf(index, region.info.id)));
  if (region.slot != kNoSlot) FreeSlot(slots_[static_cast<size_t>(region.slot)]);
  SetState(region, RegionState::kResident);
  region.refilled = true;
  StartFill(region.home, index, nullptr);
  Prefetch();
  return {};
}

Status RegionStore::Impl::LeaveMapping(const std::vector<bool>& resident) {
  if (resident.size() != regions_.size())
    return Fail(Code::kInternal, "a choice of " + std::to_string(resident.size()) +
                                     " regions for a model of " + std::to_string(regions_.size()));
  for (const bool stays : {false, true})
    for (RegionIndex i = 0; i < regions_.size(); ++i)
      if (regions_[i].state == RegionState::kMapped && resident[i] == stays)
        MIRAGE_TRY(Unmap(i, stays));
  return {};
}

// The mapping's bytes are given back before the home takes its own, so that the region is never
// held twice.
Status RegionStore::Impl::Unmap(RegionIndex index, bool resident) {
  Region& region = regions_[index];
  if (region.home.leases > 0)
    return Fail(Code::kBusy, NameOf(index, region.info.id) + " has " +
                                 std::to_string(region.home.leases) + " live leases");
  if (!resident) MIRAGE_TRY(EnsureSlots());
  region.home.AwaitIdle();
  source_->DropMapped(index);
  arena_.ledger().Give(Owner::kMapped, region.info.bytes);
  region.mapped = nullptr;
  SetState(region, RegionState::kLent);
  if (!resident) return {};
  MIRAGE_TRY(Revive(index));
  Status filled = region.home.fill.Wait();
  region.home.reported = !filled;
  return filled;
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
  }
  return *this;
}

void Lease::End() {
  if (store_ == nullptr) return;
  std::exchange(store_, nullptr)->EndLease(region_, slot_, *stream_);
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
Result<Lease> RegionStore::Acquire(RegionIndex region, Stream& stream) {
  return impl_->Acquire(*this, region, stream);
}
void RegionStore::EndLease(RegionIndex region, int slot, Stream& stream) {
  impl_->EndLease(region, slot, stream);
}
Status RegionStore::Lend(RegionIndex region) { return impl_->Lend(region); }
Status RegionStore::Revive(RegionIndex region) { return impl_->Revive(region); }
Status RegionStore::LeaveMapping() { return LeaveMapping(std::vector<bool>(region_count(), true)); }
Status RegionStore::LeaveMapping(const std::vector<bool>& resident) {
  return impl_->LeaveMapping(resident);
}

size_t RegionStore::region_count() const { return impl_->regions_.size(); }
const RegionInfo& RegionStore::info(RegionIndex region) const {
  return impl_->regions_[region].info;
}
RegionState RegionStore::state(RegionIndex region) const {
  const Region& found = impl_->regions_[region];
  return found.slot != kNoSlot ? RegionState::kStreaming : found.state;
}
int RegionStore::slots() const { return impl_->options_.slots; }
uint64_t RegionStore::slot_bytes() const { return impl_->slot_range_.bytes; }
uint64_t RegionStore::TableBytes(size_t regions) {
  constexpr size_t kEventBytes = 96;  // of the last lease, with its allocation
  return regions *
         (sizeof(Region) + sizeof(Place::Use) + kEventBytes + 2 * sizeof(AnnouncedOrder::Position));
}
StoreStats RegionStore::Stats() const { return impl_->Stats(); }

}  // namespace mirage::memory
