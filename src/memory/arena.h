// SPDX-License-Identifier: Apache-2.0
#pragma once

// Arena: reserved address space whose parts are backed by memory only while a ledger says so.
//
// Every region has a home range and every (model, layer) a dense KV range, reserved once and never
// moved, so that addresses in captured graphs and kernel arguments stay valid. Backing comes and
// goes in chunks (host 64 KiB: first touch and MADV_DONTNEED; devices with virtual memory
// management 2 MiB and up). A chunk is backed while any sub-range that touches it is; its bytes are
// taken from the ledger by the first, in the name of that first one's owner, and given back by the
// last.
//
// Any thread; backing happens off the hot path, and without the arena's lock.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "memory/chunk_table.h"
#include "memory/ledger.h"
#include "platform/device.h"

namespace mirage::memory {

// A run of reserved addresses.
struct Range {
  std::byte* base = nullptr;
  uint64_t bytes = 0;
};

class Arena {
 public:
  Arena(platform::Device& device, Ledger& ledger);
  ~Arena();  // every range must have been released

  // Reserves address space, rounded up to whole chunks. Nothing is backed. What is backed of it
  // later draws on `promise`, which outlives the reservation.
  [[nodiscard]] Result<Range> Reserve(uint64_t bytes, Promise* promise = nullptr);
  // Unbacks what is still backed, whoever backed it, and gives the addresses back.
  void Release(const Range& range);

  // Backs [offset, offset + bytes) of a reserved range for `owner`. All or nothing: kOutOfMemory
  // changes nothing. `until`: see Ledger::Take.
  [[nodiscard]] Status Back(const Range& range, uint64_t offset, uint64_t bytes, Owner owner,
                            uint64_t until = 0);
  // Ends one Back of exactly these bytes. The contents are gone when the last user of a chunk has
  // left it.
  void Unback(const Range& range, uint64_t offset, uint64_t bytes);

  // What Back would take from the ledger now.
  [[nodiscard]] uint64_t CostToBack(const Range& range, uint64_t offset, uint64_t bytes) const;

  // What the arena itself keeps for a reservation of `bytes` whose first `backed` bytes are used:
  // for the reserver to count, since it knows how much that will be.
  [[nodiscard]] static uint64_t TableBytes(uint64_t bytes, uint64_t backed, uint64_t chunk_bytes) {
    return ChunkTable::Bytes(CeilDiv(bytes, chunk_bytes), CeilDiv(backed, chunk_bytes));
  }

  [[nodiscard]] uint64_t chunk_bytes() const { return chunk_bytes_; }
  [[nodiscard]] Ledger& ledger() const { return ledger_; }
  [[nodiscard]] platform::Device& device() const { return device_; }

 private:
  using Span = ChunkSpan;
  struct Reservation {
    uint64_t bytes = 0;
    Promise* promise = nullptr;
    ChunkTable chunks;
  };

  [[nodiscard]] Span ChunksOf(uint64_t offset, uint64_t bytes) const;
  template <typename Map>
  [[nodiscard]] static auto& Find(Map& reservations, const Range& range, uint64_t offset,
                                  uint64_t bytes);
  [[nodiscard]] uint64_t BytesOf(Span span) const { return (span.end - span.begin) * chunk_bytes_; }
  [[nodiscard]] std::byte* AddressOf(const Range& range, Span span) const {
    return range.base + span.begin * chunk_bytes_;
  }
  [[nodiscard]] Status BackRun(std::byte* base, uint64_t bytes);
  // The runs of chunks that nobody uses.
  [[nodiscard]] static std::vector<Span> Unused(const ChunkTable& chunks, Span span);
  // Takes one user off each chunk and unbacks those left with none.
  void Leave(std::unique_lock<std::mutex>& lock, const Range& range, Reservation& reservation,
             Span span);
  void AwaitSettled(std::unique_lock<std::mutex>& lock, const Reservation& reservation, Span span);

  platform::Device& device_;
  Ledger& ledger_;
  const uint64_t chunk_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable settled_;
  std::map<std::byte*, Reservation> reservations_;
};

}  // namespace mirage::memory
