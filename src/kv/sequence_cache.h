// SPDX-License-Identifier: Apache-2.0
#pragma once

// SequenceCache: one sequence's page tables, one per layer group.
//
//   reserve pages for the positions a step will write -> run the step -> Commit, or Rollback
//
// A table is {first_position, pages[]}: pages[i] holds positions [first_position + 32 i, + 32).
// Window groups let go of pages that no later query can see, but only at Commit, so that a rolled
// back step leaves everything as it was. Positions are absolute; pages stay aligned to multiples
// of 32.
//
// Pages may be shared with forks and with a PrefixCache. A page is only written by one that holds
// it alone: Reserve first puts a copy in the place of the shared page that the next position lies
// in. So a fork costs nothing until it goes another way, and then one page.
//
// One thread at a time.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "kv/page_pool.h"

namespace mirage::kv {

// Of one group: pages[i] holds positions [first_position + 32 i, + 32).
struct PageTable {
  int64_t first_position = 0;
  std::vector<PageNumber> pages;
};

class SequenceCache {
 public:
  SequenceCache() = default;  // of no pool: empty, may only be assigned to
  explicit SequenceCache(PagePool& pool) : pool_(&pool), tables_(pool.geometry().size()) {}
  ~SequenceCache() { Clear(); }
  SequenceCache(SequenceCache&& other) noexcept;
  SequenceCache& operator=(SequenceCache&& other) noexcept;

  // Positions whose keys and values are there.
  [[nodiscard]] int64_t length() const { return length_; }

  // Another cache of the same committed positions, by shared pages.
  [[nodiscard]] SequenceCache Fork() const;

  // Makes positions [length, end) writable. All or nothing; kOutOfMemory changes nothing.
  [[nodiscard]] Status Reserve(int64_t end);
  // The positions up to `end`, all reserved, have been written.
  void Commit(int64_t end);
  // Gives back what was reserved past the committed length.
  void Rollback();

  // Forgets positions from `tokens` on and returns the length that is left: `tokens`, or less when
  // a window group no longer has the pages a query at `tokens` would need, which then have to be
  // computed again.
  int64_t Truncate(int64_t tokens);
  void Clear();

  // Which positions a table holds.
  struct Extent {
    int64_t first_position = 0;  // a multiple of 32
    int64_t pages = 0;
  };
  [[nodiscard]] Extent extent(size_t group) const;
  // A cache of `length` positions in pages just taken, one extent per group, whose bytes the caller
  // writes before anybody reads them. kCorrupt for extents that a cache of that length cannot have,
  // kOutOfMemory.
  [[nodiscard]] static Result<SequenceCache> WithPages(PagePool& pool, int64_t length,
                                                       std::span<const Extent> extents);
  // The bytes of a group's index-th page in the slot-th of its layers.
  [[nodiscard]] std::span<std::byte> PageBytes(size_t group, int64_t index, size_t slot) const;
  // The same without what lies past the length, which may be left from another sequence: zeros.
  void CopyPage(size_t group, int64_t index, size_t slot, std::span<std::byte> out) const;

  // The page that holds a position; none when it was never there or has been let go.
  [[nodiscard]] std::optional<PageNumber> PageAt(size_t group, int64_t position) const;
  // Puts a page of the same content in the place of the one that holds `position`.
  void ReplacePage(size_t group, int64_t position, PageNumber same);
  // Holds `length` positions in `tables` from now on, whose pages have been shared for it, instead
  // of what it held.
  void Adopt(int64_t length, std::vector<PageTable> tables);
  // Adds one for each page held.
  void CountHolds(HoldCounts* counts) const;

  // What attention sees of a group, for a step whose first new token is at length(). The pages stay
  // where they are until the next call that changes the cache.
  [[nodiscard]] kernels::SequenceView View(size_t group, int32_t row0, int32_t tokens) const;

 private:
  class PageCopies;

  [[nodiscard]] bool Covers(int64_t end) const;
  // Takes the pages of every group up to `end`. All or nothing.
  [[nodiscard]] Status Grow(int64_t end);
  void DropFrom(size_t group, size_t first_index);

  PagePool* pool_ = nullptr;
  int64_t length_ = 0;
  std::vector<PageTable> tables_;
};

}  // namespace mirage::kv
