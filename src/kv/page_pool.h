// SPDX-License-Identifier: Apache-2.0
#pragma once

// PagePool: one model's KV pages and who holds each.
//
// A page is 32 consecutive absolute positions of one layer (kernels/ops.h). Page number p of a
// layer group names the p-th page in the address range of each of the group's layers. A page is
// free or held by one or more page tables (by count). Memory behind a page is backed through the
// arena when it is taken and unbacked when its last holder lets go, so nothing physical is held for
// context that is not in use, and several models draw from one ledger.
//
// Any thread.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernels/ops.h"
#include "kv/geometry.h"
#include "memory/arena.h"

namespace mirage::kv {

using PageNumber = uint32_t;
using HoldCounts = std::vector<std::map<PageNumber, uint32_t>>;  // per group: page and its holders

struct PoolStats {
  uint64_t pages_held = 0;  // over all groups
  uint64_t bytes_held = 0;  // page bytes over all layers; chunks round this up in the ledger
  uint64_t bytes_peak = 0;
};

class PagePool {
 public:
  // Reserves addresses for as many pages as `address_bytes` of KV could ever hold. Pages draw on
  // `promise`, which outlives the pool.
  [[nodiscard]] static Result<std::unique_ptr<PagePool>> Create(memory::Arena& arena,
                                                                Geometry geometry,
                                                                uint64_t address_bytes,
                                                                memory::Promise* promise = nullptr);
  ~PagePool();

  // Takes `count` pages of a group, lowest numbers first, with one holder each. All or nothing:
  // kOutOfMemory with the bytes changes nothing.
  [[nodiscard]] Status Take(size_t group, int64_t count, std::vector<PageNumber>* out);
  // One more holder of pages that are held.
  void Share(size_t group, std::span<const PageNumber> pages);
  // One holder less; the last one frees the page. Allocates nothing, so it never fails.
  void Drop(size_t group, std::span<const PageNumber> pages);
  [[nodiscard]] uint32_t holders(size_t group, PageNumber page) const;
  // Copies a page's bytes, in every layer of the group, from one held page to another.
  void Copy(size_t group, PageNumber from, PageNumber to);

  // What the ledger has left for pages of this pool.
  [[nodiscard]] uint64_t available_bytes() const { return arena_.ledger().available(promise_); }
  // What is in use of the ledger beyond a limit that was lowered.
  [[nodiscard]] uint64_t over_limit_bytes() const { return arena_.ledger().over_limit(); }
  // How many bytes of pages dropped here another pool, or with nullptr who has no promise, could
  // use: a promise keeps its own. UINT64_MAX: all.
  [[nodiscard]] uint64_t FreeableFor(const PagePool* other) const {
    if (this == other) return UINT64_MAX;
    return arena_.ledger().Freeable(promise_, other == nullptr ? nullptr : other->promise_);
  }

  // The most bytes this and every other pool could hold together, with what others than pools hold
  // now.
  [[nodiscard]] uint64_t most_bytes() const;
  // What the ledger is asked for a sequence of so many tokens that has the pool to itself: in
  // whole chunks of each layer.
  [[nodiscard]] uint64_t LeastBytesFor(int64_t tokens) const;
  // What the ledger is asked, at most, for so many pages more of each group, wherever they come to
  // lie.
  [[nodiscard]] uint64_t MostBytesToTake(std::span<const int64_t> pages) const;

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  // Where a layer's pages are, for kernels.
  [[nodiscard]] kernels::KvLayer layer(int32_t layer) const;
  [[nodiscard]] PoolStats Stats() const;

  // free + held == total and every held page is backed. Tests and debug builds.
  [[nodiscard]] Status CheckInvariants() const;
  // No page has fewer holders than `counts` (made by the holders' CountHolds) says; with `exact`,
  // none has more either.
  [[nodiscard]] Status CheckHolders(const HoldCounts& counts, bool exact) const;

 private:
  struct Group {
    std::vector<memory::Range> ranges;  // per layer of the group
    std::vector<uint32_t> holders;      // per page; 0: free
    std::vector<PageNumber> free;       // min-heap
    PageNumber next_unused = 0;         // pages from here on were never taken
    PageNumber capacity = 0;
  };

  PagePool(memory::Arena& arena, Geometry geometry, memory::Promise* promise)
      : arena_(arena), promise_(promise), geometry_(std::move(geometry)) {}
  Status BackPage(Group& group, const LayerGroup& shape, PageNumber page);
  void UnbackPage(Group& group, const LayerGroup& shape, PageNumber page, size_t layers);
  void Free(size_t group, PageNumber page);

  memory::Arena& arena_;
  memory::Promise* const promise_;
  const Geometry geometry_;
  std::vector<int32_t> group_of_layer_;
  std::vector<int32_t> slot_of_layer_;  // index within its group
  mutable std::mutex mutex_;
  std::vector<Group> groups_;
  PoolStats stats_;
};

}  // namespace mirage::kv
