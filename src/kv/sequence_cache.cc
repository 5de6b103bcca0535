// SPDX-License-Identifier: Apache-2.0
#include "kv/sequence_cache.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <utility>

#include "kernels/kv_page.h"
#include "kv/new_states.h"

namespace mirage::kv {

namespace {

constexpr int64_t kPage = kernels::kPageTokens;

}  // namespace

SequenceCache::SequenceCache(SequenceCache&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      length_(std::exchange(other.length_, 0)),
      tables_(std::exchange(other.tables_, {})) {}

SequenceCache& SequenceCache::operator=(SequenceCache&& other) noexcept {
  if (this == &other) return *this;
  Clear();
  pool_ = std::exchange(other.pool_, nullptr);
  length_ = std::exchange(other.length_, 0);
  tables_ = std::exchange(other.tables_, {});
  return *this;
}

SequenceCache SequenceCache::Fork() const {
  SequenceCache fork;
  if (pool_ == nullptr) return fork;
  fork.tables_ = tables_;
  for (size_t group = 0; group < tables_.size(); ++group) {
    PageTable& table = fork.tables_[group];
    table.pages.resize(Committed(group));
    if (IsState(group)) table.after.resize(table.pages.size());
    table.spare.reset();
    pool_->Share(group, table.pages);
  }
  fork.pool_ = pool_;
  fork.length_ = length_;
  return fork;
}

// Pages taken to be written in the place of shared ones.
class SequenceCache::PageCopies {
 public:
  explicit PageCopies(SequenceCache& cache) : cache_(cache) {}
  PageCopies(const PageCopies&) = delete;
  PageCopies& operator=(const PageCopies&) = delete;
  // Lets go of the copies that were not used, or of the shared pages whose place they took.
  ~PageCopies() {
    for (const Copy& copy : copies_) cache_.pool_->Drop(copy.group, copy.page);
  }

  // One for each page that the next position lies in and that others hold, too.
  [[nodiscard]] Status Take() {
    if (cache_.length_ % kPage == 0) return {};  // the next position begins a page of its own
    for (size_t group = 0; group < cache_.tables_.size(); ++group) {
      if (cache_.IsState(group)) continue;  // the next one is another's page
      const PageTable& table = cache_.tables_[group];
      const auto index = static_cast<size_t>((cache_.length_ - table.first_position) / kPage);
      if (cache_.pool_->holders(group, table.pages[index]) == 1) continue;
      Copy& copy = copies_.emplace_back(Copy{group, index, {}});
      MIRAGE_TRY(cache_.pool_->Take(group, 1, &copy.page));
    }
    return {};
  }

  void PutInPlace() {
    for (Copy& copy : copies_) {
      PageNumber& place = cache_.tables_[copy.group].pages[copy.index];
      cache_.pool_->Copy(copy.group, place, copy.page.front());
      std::swap(place, copy.page.front());
    }
  }

 private:
  struct Copy {
    size_t group;
    size_t index;  // in the table
    std::vector<PageNumber> page;
  };
  SequenceCache& cache_;
  std::vector<Copy> copies_;
};

Status SequenceCache::Reserve(int64_t end, int64_t settled, Snapshots snapshots) {
  PageCopies copies(*this);
  MIRAGE_TRY(copies.Take());
  NewStates states(*pool_, tables_, length_);
  MIRAGE_TRY(states.Take(end, settled, snapshots));
  if (!Covers(end)) MIRAGE_TRY(Grow(end));  // covered in 31 of 32 decode steps
  states.PutInPlace();
  copies.PutInPlace();
  return {};
}

bool SequenceCache::Covers(int64_t end) const {
  for (size_t group = 0; group < tables_.size(); ++group) {
    const PageTable& table = tables_[group];
    const int64_t have = table.first_position + static_cast<int64_t>(table.pages.size()) * kPage;
    if (!IsState(group) && end > have) return false;
  }
  return true;
}

Status SequenceCache::Grow(int64_t end) {
  std::vector<size_t> before;  // pages of each group
  for (const PageTable& table : tables_) before.push_back(table.pages.size());
  for (size_t group = 0; group < tables_.size(); ++group) {
    if (IsState(group)) continue;
    PageTable& table = tables_[group];
    const int64_t have = table.first_position + static_cast<int64_t>(table.pages.size()) * kPage;
    if (end <= have) continue;
    if (Status taken =
            pool_->Take(group, static_cast<int64_t>(CeilDiv(end - have, kPage)), &table.pages);
        !taken) {
      for (size_t undo = 0; undo < group; ++undo) DropFrom(undo, before[undo]);
      return taken;
    }
  }
  return {};
}

void SequenceCache::Commit(int64_t end, int64_t settled) {
  length_ = end;
  for (size_t group = 0; group < tables_.size(); ++group)
    if (pool_->geometry()[group].kind == CacheKind::kWindow) LetGoOfUnseen(group, settled);
  for (size_t group = 0; group < tables_.size(); ++group)
    if (IsState(group))
      KeepStates(group, [&](int64_t after) {
        return after >= settled ||
               (IsSnapshot(pool_->geometry()[group], after, length_) && WindowsReach(after));
      });
}

// No later query is before `settled`.
void SequenceCache::LetGoOfUnseen(size_t group, int64_t settled) {
  PageTable& table = tables_[group];
  const int64_t unseen =
      (FirstSeen(pool_->geometry()[group], settled) - table.first_position) / kPage;
  if (unseen <= 0) return;
  const auto count =
      static_cast<size_t>(std::min<int64_t>(unseen, static_cast<int64_t>(table.pages.size())));
  pool_->Drop(group, std::span(table.pages).first(count));
  table.pages.erase(table.pages.begin(), table.pages.begin() + static_cast<int64_t>(count));
  table.first_position += static_cast<int64_t>(count) * kPage;
}

// A page of a state let go of is the spare: the next step writes its own there, so that memory is
// not given back and taken again with every token.
template <typename Keep>
void SequenceCache::KeepStates(size_t group, Keep&& keep) {
  PageTable& table = tables_[group];
  size_t kept = 0;
  for (size_t i = 0; i < table.pages.size(); ++i) {
    const PageNumber page = table.pages[i];
    if (keep(table.after[i])) {
      table.after[kept] = table.after[i];
      table.pages[kept++] = page;
    } else if (!table.spare && pool_->holders(group, page) == 1) {
      table.spare = page;
    } else {
      pool_->Drop(group, std::span(&page, 1));
    }
  }
  table.after.resize(kept);
  table.pages.resize(kept);
}

bool SequenceCache::WindowsReach(int64_t tokens) const {
  for (size_t group = 0; group < tables_.size(); ++group)
    if (!IsState(group) &&
        tables_[group].first_position > FirstSeen(pool_->geometry()[group], tokens))
      return false;
  return true;
}

void SequenceCache::Rollback() {
  for (size_t group = 0; group < tables_.size(); ++group) {
    DropFrom(group, Committed(group));
    DropSpare(group);
  }
}

int64_t SequenceCache::Truncate(int64_t tokens) {
  int64_t left = Resumable(std::min(tokens, length_));
  // A query at `left` sees (left - window, left]; whatever of that was dropped has to be computed
  // again, and since it depends on positions dropped before it, from the start.
  if (!WindowsReach(left)) left = 0;
  length_ = left;
  if (left == 0)
    Clear();
  else
    Rollback();
  return left;
}

bool SequenceCache::DropSnapshots() {
  bool any = false;
  for (size_t group = 0; group < tables_.size(); ++group) {
    if (!IsState(group)) continue;
    const size_t before = tables_[group].pages.size();
    KeepStates(group, [&](int64_t after) { return after >= length_; });
    any = any || tables_[group].pages.size() != before || tables_[group].spare;
    DropSpare(group);
  }
  return any;
}

void SequenceCache::Clear() {
  length_ = 0;
  for (size_t group = 0; group < tables_.size(); ++group) {
    DropFrom(group, 0);
    DropSpare(group);
    tables_[group].first_position = 0;
  }
}

int64_t SequenceCache::Resumable(int64_t tokens) const {
  while (tokens > 0) {
    int64_t common = tokens;
    for (size_t group = 0; group < tables_.size(); ++group) {
      if (!IsState(group)) continue;
      const std::vector<int64_t>& after = tables_[group].after;
      const auto next = std::upper_bound(after.begin(), after.end(), tokens);
      common = std::min(common, next == after.begin() ? 0 : *std::prev(next));
    }
    if (common == tokens) break;
    tokens = common;
  }
  return tokens;
}

SequenceCache::Extent SequenceCache::extent(size_t group) const {
  if (IsState(group)) return {length_, length_ > 0 ? 1 : 0};
  return {tables_[group].first_position, static_cast<int64_t>(tables_[group].pages.size())};
}

Result<SequenceCache> SequenceCache::WithPages(PagePool& pool, int64_t length,
                                               std::span<const Extent> extents) {
  const Geometry& geometry = pool.geometry();
  if (extents.size() != geometry.size())
    return Fail(Code::kCorrupt, std::to_string(extents.size()) +
                                    " groups of pages; the model has " +
                                    std::to_string(geometry.size()));
  SequenceCache cache(pool);
  const int64_t last_page = length / kPage + (length % kPage != 0 ? 1 : 0);
  for (size_t group = 0; group < extents.size(); ++group) {
    const auto [first, pages] = extents[group];
    PageTable& table = cache.tables_[group];
    if (geometry[group].kind == CacheKind::kState) {
      if (first != length || pages != (length > 0 ? 1 : 0))
        return Fail(Code::kCorrupt, "state group " + std::to_string(group) + " holds " +
                                        std::to_string(pages) + " states after " +
                                        std::to_string(first) + " tokens; a cache of " +
                                        std::to_string(length) + " positions cannot");
      table.after.assign(static_cast<size_t>(pages), length);
      if (pages > 0) MIRAGE_TRY(pool.Take(group, pages, &table.pages));
      continue;
    }
    const int64_t seen_from = FirstSeen(geometry[group], length);
    if (first < 0 || first % kPage != 0 || first > seen_from || pages < 0 || pages > last_page ||
        first / kPage + pages != last_page)
      return Fail(Code::kCorrupt, "page group " + std::to_string(group) + " holds " +
                                      std::to_string(pages) + " pages from position " +
                                      std::to_string(first) + "; a cache of " +
                                      std::to_string(length) + " positions cannot");
    table.first_position = first;
    if (pages > 0) MIRAGE_TRY(pool.Take(group, pages, &table.pages));
  }
  cache.length_ = length;
  return cache;
}

std::span<std::byte> SequenceCache::PageBytes(size_t group, int64_t index, size_t slot) const {
  const LayerGroup& shape = pool_->geometry()[group];
  const kernels::KvLayer layer = pool_->layer(shape.layers[slot]);
  const PageNumber page =
      IsState(group) ? *PageAt(group, length_) : tables_[group].pages[static_cast<size_t>(index)];
  return {layer.base + page * layer.page_bytes, static_cast<size_t>(layer.page_bytes)};
}

void SequenceCache::CopyPage(size_t group, int64_t index, size_t slot,
                             std::span<std::byte> out) const {
  const LayerGroup& shape = pool_->geometry()[group];
  const std::span<const std::byte> page = PageBytes(group, index, slot);
  if (IsState(group)) {
    std::memcpy(out.data(), page.data(), shape.state_bytes);
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(shape.state_bytes), out.end(),
              std::byte{0});
    return;
  }
  const int64_t begin = tables_[group].first_position + index * kPage;
  const auto valid = static_cast<size_t>(std::clamp<int64_t>(length_ - begin, 0, kPage));
  std::fill(out.begin(), out.end(), std::byte{0});

  // Parts of a page as kernels/kv_page.h has them: runs of [row][slot] or [slot][row].
  size_t at = 0;
  const auto slots_last = [&](size_t rows, size_t value_bytes) {
    for (size_t row = 0; row < rows; ++row, at += kPage * value_bytes)
      std::memcpy(out.data() + at, page.data() + at, valid * value_bytes);
  };
  const auto slots_first = [&](size_t row_bytes) {
    std::memcpy(out.data() + at, page.data() + at, valid * row_bytes);
    at += kPage * row_bytes;
  };
  const auto head_dim = static_cast<size_t>(shape.head_dim);
  const auto blocks = static_cast<size_t>(kernels::KvBlocks(shape.head_dim));
  const size_t quantized = blocks * static_cast<size_t>(kernels::KvBlockBytes(shape.type));
  const bool halves = shape.type == KvType::kF16;
  constexpr size_t kHalf = sizeof(uint16_t);
  for (int32_t head = 0; head < shape.kv_heads; ++head) {
    if (!halves) slots_last(blocks, kHalf);
    slots_last(halves ? head_dim : quantized, halves ? kHalf : 1);
  }
  for (int32_t head = 0; head < shape.kv_heads; ++head) {
    if (!halves) slots_last(blocks, kHalf);
    slots_first(halves ? head_dim * kHalf : quantized);
  }
}

std::optional<size_t> SequenceCache::IndexAt(size_t group, int64_t position) const {
  const PageTable& table = tables_[group];
  if (IsState(group)) {
    const auto state = std::lower_bound(table.after.begin(), table.after.end(), position);
    if (state == table.after.end() || *state != position) return std::nullopt;
    return static_cast<size_t>(state - table.after.begin());
  }
  const int64_t index = (position - table.first_position) / kPage;
  if (position < table.first_position || index >= static_cast<int64_t>(table.pages.size()))
    return std::nullopt;
  return static_cast<size_t>(index);
}

std::optional<PageNumber> SequenceCache::PageAt(size_t group, int64_t position) const {
  const std::optional<size_t> index = IndexAt(group, position);
  if (!index) return std::nullopt;
  return tables_[group].pages[*index];
}

void SequenceCache::ReplacePage(size_t group, int64_t position, PageNumber same) {
  PageNumber& place = tables_[group].pages[*IndexAt(group, position)];
  pool_->Share(group, std::span(&same, 1));
  pool_->Drop(group, std::span(&place, 1));
  place = same;
}

void SequenceCache::Adopt(int64_t length, std::vector<PageTable> tables) {
  Clear();
  length_ = length;
  tables_ = std::move(tables);
}

void SequenceCache::CountHolds(HoldCounts* counts) const {
  for (size_t group = 0; group < tables_.size(); ++group) {
    for (const PageNumber page : tables_[group].pages) ++(*counts)[group][page];
    if (tables_[group].spare) ++(*counts)[group][*tables_[group].spare];
  }
}

kernels::SequenceView SequenceCache::View(size_t group, int32_t row0, int32_t tokens) const {
  const PageTable& table = tables_[group];
  return {table.pages.data(), table.first_position, length_, row0, tokens};
}

StateView SequenceCache::States(size_t group) const {
  const PageTable& table = tables_[group];
  const size_t first = Committed(group);
  return {PageAt(group, length_), std::span(table.after).subspan(first),
          std::span(table.pages).subspan(first)};
}

Status SequenceCache::CheckInvariants() const {
  for (size_t group = 0; group < tables_.size(); ++group) {
    const PageTable& table = tables_[group];
    const std::string name = "page table " + std::to_string(group);
    if (IsState(group)) {
      if (table.after.size() != table.pages.size() || table.first_position != 0 ||
          std::adjacent_find(table.after.begin(), table.after.end(), std::greater_equal<>()) !=
              table.after.end())
        return Fail(Code::kInternal, name + " has its states in no order");
      if (length_ > 0 && !PageAt(group, length_))
        return Fail(Code::kInternal,
                    name + " has no state after " + std::to_string(length_) + " tokens");
      continue;
    }
    const int64_t end = table.first_position + static_cast<int64_t>(table.pages.size()) * kPage;
    if (!table.after.empty() || table.spare || table.first_position % kPage != 0 || end < length_)
      return Fail(Code::kInternal, name + " lacks pages");
  }
  if (!WindowsReach(length_)) return Fail(Code::kInternal, "a window has let go of too much");
  return {};
}

bool SequenceCache::IsState(size_t group) const {
  return pool_->geometry()[group].kind == CacheKind::kState;
}

size_t SequenceCache::Committed(size_t group) const {
  const PageTable& table = tables_[group];
  if (IsState(group))
    return static_cast<size_t>(std::upper_bound(table.after.begin(), table.after.end(), length_) -
                               table.after.begin());
  const int64_t used = std::max<int64_t>(0, length_ - table.first_position);
  return CeilDiv(static_cast<uint64_t>(used), kPage);
}

void SequenceCache::DropSpare(size_t group) {
  std::optional<PageNumber>& spare = tables_[group].spare;
  if (spare) pool_->Drop(group, std::span(&*spare, 1));
  spare.reset();
}

void SequenceCache::DropFrom(size_t group, size_t first_index) {
  PageTable& table = tables_[group];
  if (first_index >= table.pages.size()) return;
  pool_->Drop(group, std::span(table.pages).subspan(first_index));
  table.pages.resize(first_index);
  if (IsState(group)) table.after.resize(first_index);
}

}  // namespace mirage::kv
