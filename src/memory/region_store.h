// SPDX-License-Identifier: Apache-2.0
#pragma once

// RegionStore: one model's regions, where each one is now, and leases on them.
//
// States of a region:
//   MAPPED     read in place from a mapped file; zero copy, never lent; only while everything fits
//   RESIDENT   its home range in the arena is backed and filled
//   LENT       its home is unbacked and its bytes belong to somebody else (KV, another model)
//   STREAMING  lent, and filled or being filled into one of a few always-backed slots
//
// Acquire makes the stream wait for the region's bytes and gives a Lease on them. The lease
// guarantees content; addresses are stable (home, slot or mapping). Ending the lease records the
// stream's event, and only after that event may the bytes be taken. Late bytes are a wait, counted
// as unhidden; a failed fill fails the step.
//
// Announce tells the order in which the coming step will acquire, so that lent regions are filled
// ahead into free slots by the transfer engine while other layers compute.
//
// Fills that failed are reported once, by Acquire or by the stream it was given, and tried again by
// the next Acquire. A store outlives its leases; streams outlive the leases on them.
//
// Load: any thread, before the others. Stats: any thread. The rest: the engine thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "memory/arena.h"
#include "memory/region.h"
#include "memory/transfer.h"
#include "platform/stream.h"

namespace mirage::memory {

enum class RegionState : uint8_t { kMapped, kResident, kLent, kStreaming };

struct StoreStats {
  uint64_t bytes_total = 0;     // of all regions
  uint64_t bytes_resident = 0;  // in homes
  uint64_t bytes_mapped = 0;
  uint64_t bytes_lent = 0;
  uint64_t slots = 0;
  uint64_t slot_bytes = 0;
  uint64_t acquires = 0;
  uint64_t acquires_streamed = 0;  // served from memory filled after the load
  uint64_t bytes_streamed = 0;
  int64_t hidden_ns = 0;    // of fills, time that overlapped compute
  int64_t unhidden_ns = 0;  // of fills, time somebody waited
  int64_t load_ns = 0;
};

class RegionStore;

// A promise that a region's bytes stay at data() until the stream has passed the point where the
// lease ended.
class Lease {
 public:
  Lease() = default;
  ~Lease() { End(); }
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;

  [[nodiscard]] const std::byte* data() const { return data_; }
  void End();

 private:
  friend class RegionStore;
  RegionStore* store_ = nullptr;
  platform::Stream* stream_ = nullptr;
  const std::byte* data_ = nullptr;
  RegionIndex region_ = 0;
  int slot_ = -1;          // -1: at home or mapped
  platform::Event ended_;  // made at the beginning, so that the end needs no memory
};

class RegionStore {
 public:
  struct Options {
    int slots = 2;               // staging slots; at least 2 when anything may be lent
    bool mapped = false;         // start MAPPED where the source can
    Promise* promise = nullptr;  // homes, slots and tables draw on it; it outlives the store
  };

  // Reserves homes (regions of a layer adjacent, 64-byte aligned, in index order) and nothing more.
  [[nodiscard]] static Result<std::unique_ptr<RegionStore>> Create(
      Arena& arena, TransferEngine& transfer, const Clock& clock, std::vector<RegionInfo> regions,
      std::shared_ptr<const RegionSource> source, Options options);
  ~RegionStore();

  // Makes `resident[i]` true regions RESIDENT (or MAPPED) by filling them on the transfer workers,
  // and leaves the others LENT. Blocks the caller. `progress(done_bytes, total_bytes)` returning
  // false cancels with kCancelled. On failure everything taken is given back.
  [[nodiscard]] Status Load(const std::vector<bool>& resident,
                            const std::function<bool(uint64_t, uint64_t)>& progress);

  // The order of the coming acquires, first to last; replaces what was announced before. Given
  // before the step is waited for, it may name the next step's acquires, so that their fills are
  // hidden as well. An acquire out of turn passes over the entries before it; wrong announcements
  // cost time only.
  void Announce(std::span<const RegionIndex> order);

  // Acquires that come before those announced, of regions that a step has only now found out it
  // needs (the experts its router chose).
  void AnnounceFirst(std::span<const RegionIndex> regions);

  // Fails with the error of the region's last fill, or with kInternal when every slot has a live
  // lease.
  [[nodiscard]] Result<Lease> Acquire(RegionIndex region, platform::Stream& stream);

  // RESIDENT or MAPPED -> LENT. Waits for the last lease's event. kBusy while a lease is live. The
  // first one backs the slots.
  [[nodiscard]] Status Lend(RegionIndex region) { return Lend({&region, 1}); }
  // All of them or, when a lease is live or the slots cannot be backed from what they free, none.
  [[nodiscard]] Status Lend(std::span<const RegionIndex> regions);
  // What Revive takes from the ledger now.
  [[nodiscard]] uint64_t CostToRevive(RegionIndex region) const;
  // LENT -> RESIDENT: backs the home and starts its fill; kOutOfMemory changes nothing.
  [[nodiscard]] Status Revive(RegionIndex region);
  // MAPPED -> RESIDENT, or LENT where the home cannot be backed; as Lend otherwise. The region is
  // never held twice.
  [[nodiscard]] Status LeaveMapping(RegionIndex region);

  [[nodiscard]] size_t region_count() const;
  [[nodiscard]] const RegionInfo& info(RegionIndex region) const;
  [[nodiscard]] RegionState state(RegionIndex region) const;
  [[nodiscard]] bool any_mapped() const;
  // How often it was acquired: which experts of a mixture are cold. The engine thread.
  [[nodiscard]] uint64_t uses(RegionIndex region) const;
  // What the slots take from the ledger while they are backed, and what the store's own tables take
  // from the start.
  [[nodiscard]] uint64_t slot_bytes() const;
  [[nodiscard]] static uint64_t TableBytes(size_t regions);
  // How many leases on lent regions can be live at once without waiting for one to end.
  [[nodiscard]] int slots() const;
  [[nodiscard]] StoreStats Stats() const;
  [[nodiscard]] bool fills_overlap_compute() const;

 private:
  friend class Lease;
  void EndLease(RegionIndex region, int slot, platform::Stream& stream,
                const platform::Event& ended);

  RegionStore();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mirage::memory
