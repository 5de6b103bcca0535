// SPDX-License-Identifier: Apache-2.0
#pragma once

// NewStates: pages for the states that a step is to write, taken before it is sure that the step
// can have all it needs.
//
// One thread at a time.

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "kv/sequence_cache.h"

namespace mirage::kv {

class NewStates {
 public:
  // Of a cache of `length` positions in `tables`, one for each group of the pool.
  NewStates(PagePool& pool, std::vector<PageTable>& tables, int64_t length)
      : pool_(pool), tables_(tables), length_(length) {}
  NewStates(const NewStates&) = delete;
  NewStates& operator=(const NewStates&) = delete;
  // Lets go of what was not put in place, or of what that made superfluous.
  ~NewStates();

  // As SequenceCache::Reserve. What the tables already have past `length` counts.
  [[nodiscard]] Status Take(int64_t end, int64_t settled, Snapshots snapshots);
  // The tables have a page for each state from now on. Allocates nothing.
  void PutInPlace() noexcept;

 private:
  struct OfGroup {
    size_t group;
    std::vector<int64_t> after;     // states to be written
    std::vector<PageNumber> pages;  // for them, those beside what the table has; then, what is left
  };
  [[nodiscard]] std::vector<int64_t> Wanted(const LayerGroup& shape, int64_t end, int64_t settled,
                                            Snapshots snapshots) const;
  [[nodiscard]] size_t FirstNew(const PageTable& table) const;

  PagePool& pool_;
  std::vector<PageTable>& tables_;
  const int64_t length_;
  std::vector<OfGroup> groups_;
};

}  // namespace mirage::kv
