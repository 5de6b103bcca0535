// SPDX-License-Identifier: Apache-2.0
#include "kv/new_states.h"

#include <algorithm>

namespace mirage::kv {

NewStates::~NewStates() {
  for (const OfGroup& of : groups_) pool_.Drop(of.group, of.pages);
}

Status NewStates::Take(int64_t end, int64_t settled, Snapshots snapshots) {
  for (size_t group = 0; group < tables_.size(); ++group) {
    const LayerGroup& shape = pool_.geometry()[group];
    if (shape.kind != CacheKind::kState) continue;
    PageTable& table = tables_[group];
    OfGroup& of = groups_.emplace_back(OfGroup{group, {}, {}});
    of.after = Wanted(shape, end, settled, snapshots);
    const size_t have = table.pages.size() - FirstNew(table) + (table.spare ? 1 : 0);
    // Everything that could fail to grow grows first.
    of.pages.reserve(std::max(of.after.size(), have));
    table.pages.reserve(FirstNew(table) + of.after.size());
    table.after.reserve(FirstNew(table) + of.after.size());
    if (of.after.size() > have)
      MIRAGE_TRY(pool_.Take(group, static_cast<int64_t>(of.after.size() - have), &of.pages));
  }
  return {};
}

// Those to go back to, and from `settled` on one after each token.
std::vector<int64_t> NewStates::Wanted(const LayerGroup& shape, int64_t end, int64_t settled,
                                       Snapshots snapshots) const {
  constexpr int64_t kPage = kernels::kPageTokens;
  std::vector<int64_t> wanted;
  if (snapshots == Snapshots::kTake)
    for (int64_t after = (length_ / kPage + 1) * kPage; after < settled; after += kPage)
      if (IsSnapshot(shape, after, settled)) wanted.push_back(after);
  for (int64_t after = std::max(settled, length_ + 1); after <= end; ++after)
    wanted.push_back(after);
  return wanted;
}

size_t NewStates::FirstNew(const PageTable& table) const {
  return static_cast<size_t>(std::upper_bound(table.after.begin(), table.after.end(), length_) -
                             table.after.begin());
}

void NewStates::PutInPlace() noexcept {
  for (OfGroup& of : groups_) {
    PageTable& table = tables_[of.group];
    const size_t first = FirstNew(table);
    of.pages.insert(of.pages.end(), table.pages.begin() + static_cast<std::ptrdiff_t>(first),
                    table.pages.end());
    if (table.spare) of.pages.push_back(*table.spare);
    table.spare.reset();
    table.pages.resize(first);
    table.after.resize(first);
    for (const int64_t after : of.after) {
      table.after.push_back(after);
      table.pages.push_back(of.pages.back());
      of.pages.pop_back();
    }
  }
}

}  // namespace mirage::kv
