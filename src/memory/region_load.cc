// SPDX-License-Identifier: Apache-2.0

// Loading: all regions that are to stay, on the transfer workers, or none.

#include <algorithm>
#include <deque>

#include "memory/region_store_impl.h"

namespace mirage::memory {

using platform::Event;

// Fills of a load in flight: enough to keep the workers busy, few enough that other models' fills
// get their turn.
constexpr size_t kLoadWindow = 8;

// A load under way. What it took goes back unless Commit was called, whichever way it ends.
class RegionStore::Impl::Loading {
 public:
  explicit Loading(Impl& impl) : impl_(impl), backed_(impl.regions_.size(), 0) {}
  ~Loading() {
    cancelled_.store(true);
    for (const Fill& fill : in_flight_) fill.done.Await();
    if (committed_) return;
    for (RegionIndex i = 0; i < backed_.size(); ++i) {
      const Region& region = impl_.regions_[i];
      if (backed_[i] != 0) impl_.arena_.Unback(impl_.homes_, region.home_offset, region.info.bytes);
    }
    impl_.arena_.ledger().Give(Owner::kMapped, mapped_bytes_, impl_.options_.promise);
  }

  // A mapped region's pages count from now on.
  Status TakeMapped(RegionIndex index) {
    const Region& region = impl_.regions_[index];
    MIRAGE_TRY(impl_.arena_.ledger().Take(Owner::kMapped, region.info.bytes,
                                          RegionName(index, region.info.id),
                                          impl_.options_.promise));
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
      if (region.mapped != nullptr) return impl_.source_->CheckMapped(index);
      MIRAGE_TRY(impl_.BackHome(region));
      backed_[index] = 1;
      Status filled = impl_.source_->Fill(index, {region.home.base, region.info.bytes});
      if (!filled) return Fail(WhileFilling(std::move(filled).error(), index, region.info.id));
      return {};
    };
    in_flight_.push_back(
        {index, Event()});  // before the job runs: the destructor waits for what is listed
    in_flight_.back().done = impl_.transfer_.Submit(job, region.info.bytes);
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
  std::vector<RegionIndex> wanted;
  for (RegionIndex i = 0; i < regions_.size(); ++i) {
    if (!resident[i]) continue;
    regions_[i].mapped = options_.mapped ? source_->Mapped(i) : nullptr;
    if (regions_[i].mapped != nullptr) MIRAGE_TRY(loading.TakeMapped(i));
    wanted.push_back(i);
  }
  MIRAGE_TRY(loading.FillAll(wanted, progress));
  loading.Commit();
  loaded_ = true;
  const std::lock_guard lock(stats_mutex_);
  stats_.load_ns = clock_.NowNs() - began;
  return {};
}

}  // namespace mirage::memory
