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
// A state group's table has states instead, each by the number of tokens it comes after: the one
// after length() tokens, which the next step reads, and a few at borders of pages to go back to
// (KeepsSnapshot). A step writes new ones beside them, so a rollback leaves those as they were,
// too. To go back to anywhere else is to go back to the last state before that.
//
// Pages may be shared with forks and with a PrefixCache. A page is only written by one that holds
// it alone: Reserve first puts a copy in the place of the shared page that the next position lies
// in. So a fork costs nothing until it goes another way, and then one page. States are never
// written twice.
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

// Of one group: pages[i] holds positions [first_position + 32 i, + 32), or, of a state group, the
// state after after[i] tokens.
struct PageTable {
  int64_t first_position = 0;
  std::vector<PageNumber> pages;
  std::vector<int64_t> after;       // of states, ascending
  std::optional<PageNumber> spare;  // held for the next state
};

// The states that a step reads and writes of a group.
struct StateView {
  std::optional<PageNumber> before;   // after length() tokens; none: before the first token
  std::span<const int64_t> after;     // past length(), ascending; the last is where the step ends
  std::span<const PageNumber> pages;  // where the states after so many tokens are to be written
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

  // Makes positions [length, end) writable, of which those up to any from `settled` on may be
  // committed: a state for each. All or nothing; kOutOfMemory changes nothing.
  [[nodiscard]] Status Reserve(int64_t end, int64_t settled, Snapshots snapshots);
  [[nodiscard]] Status Reserve(int64_t end) { return Reserve(end, end, Snapshots::kSkip); }
  // The positions up to `end`, all reserved, have been written. It may still be truncated to
  // `settled` tokens or more with nothing to compute again, if Reserve was told so.
  void Commit(int64_t end, int64_t settled);
  void Commit(int64_t end) { Commit(end, end); }
  // Gives back what was reserved past the committed length.
  void Rollback();

  // Forgets positions from `tokens` on and returns the length that is left: `tokens`, or less when
  // a window group no longer has the pages a query at `tokens` would need, or a state group has no
  // state there; what is missing then has to be computed again.
  int64_t Truncate(int64_t tokens);
  // Lets go of the states that are only there to go back to; false when there are none.
  bool DropSnapshots();
  void Clear();

  // The most of `tokens` tokens, all written, after which every state group has a state.
  [[nodiscard]] int64_t Resumable(int64_t tokens) const;

  // Which positions a table holds; of a state group, which of its states is to be kept longer than
  // the cache.
  struct Extent {
    int64_t first_position = 0;  // a multiple of 32; of a state, the tokens it comes after
    int64_t pages = 0;           // of states 1, or 0 before the first token
  };
  [[nodiscard]] Extent extent(size_t group) const;
  // A cache of `length` positions in pages just taken, one extent per group, whose bytes the caller
  // writes before anybody reads them. kCorrupt for extents that a cache of that length cannot have,
  // kOutOfMemory.
  [[nodiscard]] static Result<SequenceCache> WithPages(PagePool& pool, int64_t length,
                                                       std::span<const Extent> extents);
  // The bytes of the index-th page of a group's extent in the slot-th of its layers.
  [[nodiscard]] std::span<std::byte> PageBytes(size_t group, int64_t index, size_t slot) const;
  // The same without what lies past the length, which may be left from another sequence: zeros.
  void CopyPage(size_t group, int64_t index, size_t slot, std::span<std::byte> out) const;

  // The page that holds a position, or the state after so many tokens; none when it was never there
  // or has been let go.
  [[nodiscard]] std::optional<PageNumber> PageAt(size_t group, int64_t position) const;
  // Puts a page of the same content in the place of PageAt(group, position), which is there.
  void ReplacePage(size_t group, int64_t position, PageNumber same);
  // Holds `length` positions in `tables` from now on, whose pages have been shared for it, instead
  // of what it held.
  void Adopt(int64_t length, std::vector<PageTable> tables);
  // Adds one for each page held.
  void CountHolds(HoldCounts* counts) const;

  // What attention sees of a group, for a step whose first new token is at length(). The pages stay
  // where they are until the next call that changes the cache.
  [[nodiscard]] kernels::SequenceView View(size_t group, int32_t row0, int32_t tokens) const;
  // The same of a state group.
  [[nodiscard]] StateView States(size_t group) const;

  // What it holds makes sense. Tests and debug builds.
  [[nodiscard]] Status CheckInvariants() const;

 private:
  class PageCopies;

  [[nodiscard]] bool IsState(size_t group) const;
  // Index in a group's table of PageAt.
  [[nodiscard]] std::optional<size_t> IndexAt(size_t group, int64_t position) const;
  // Of a group's pages those of committed positions.
  [[nodiscard]] size_t Committed(size_t group) const;
  [[nodiscard]] bool Covers(int64_t end) const;
  // Takes the pages of every group but the states up to `end`. All or nothing.
  [[nodiscard]] Status Grow(int64_t end);
  void LetGoOfUnseen(size_t group, int64_t settled);
  template <typename Keep>
  void KeepStates(size_t group, Keep&& keep);
  // No window has let go of what a query after `tokens` tokens would see.
  [[nodiscard]] bool WindowsReach(int64_t tokens) const;
  void DropSpare(size_t group);
  void DropFrom(size_t group, size_t first_index);

  PagePool* pool_ = nullptr;
  int64_t length_ = 0;
  std::vector<PageTable> tables_;
};

}  // namespace mirage::kv
