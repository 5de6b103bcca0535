// SPDX-License-Identifier: Apache-2.0
#include "kv/sequence_cache.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

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
    const int64_t used = std::max<int64_t>(0, length_ - table.first_position);
    table.pages.resize(CeilDiv(static_cast<uint64_t>(used), kPage));
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

Status SequenceCache::Reserve(int64_t end) {
  PageCopies copies(*this);
  MIRAGE_TRY(copies.Take());
  if (!Covers(end)) MIRAGE_TRY(Grow(end));  // covered in 31 of 32 decode steps
  copies.PutInPlace();
  return {};
}

bool SequenceCache::Covers(int64_t end) const {
  return std::all_of(tables_.begin(), tables_.end(), [&](const PageTable& table) {
    return end <= table.first_position + static_cast<int64_t>(table.pages.size()) * kPage;
  });
}

Status SequenceCache::Grow(int64_t end) {
  std::vector<size_t> before;  // pages of each group
  for (const PageTable& table : tables_) before.push_back(table.pages.size());
  for (size_t group = 0; group < tables_.size(); ++group) {
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

void SequenceCache::Commit(int64_t end) {
  length_ = end;
  for (size_t group = 0; group < tables_.size(); ++group) {
    const LayerGroup& shape = pool_->geometry()[group];
    if (shape.kind != CacheKind::kWindow) continue;
    // The next query is at `end`.
    PageTable& table = tables_[group];
    const int64_t unseen = (FirstSeen(shape, end) - table.first_position) / kPage;
    if (unseen <= 0) continue;
    const auto count =
        static_cast<size_t>(std::min<int64_t>(unseen, static_cast<int64_t>(table.pages.size())));
    pool_->Drop(group, std::span(table.pages).first(count));
    table.pages.erase(table.pages.begin(), table.pages.begin() + static_cast<int64_t>(count));
    table.first_position += static_cast<int64_t>(count) * kPage;
  }
}

void SequenceCache::Rollback() {
  for (size_t group = 0; group < tables_.size(); ++group) {
    const int64_t used = std::max<int64_t>(0, length_ - tables_[group].first_position);
    DropFrom(group, CeilDiv(static_cast<uint64_t>(used), kPage));
  }
}

int64_t SequenceCache::Truncate(int64_t tokens) {
  int64_t left = std::min(tokens, length_);
  for (size_t group = 0; group < tables_.size(); ++group) {
    const LayerGroup& shape = pool_->geometry()[group];
    // A query at `left` sees (left - window, left]; whatever of that was dropped has to be computed
    // again, and since it depends on positions dropped before it, from the start.
    if (tables_[group].first_position > FirstSeen(shape, left)) left = 0;
  }
  length_ = left;
  if (left == 0)
    Clear();
  else
    Rollback();
  return left;
}

void SequenceCache::Clear() {
  length_ = 0;
  for (size_t group = 0; group < tables_.size(); ++group) {
    DropFrom(group, 0);
    tables_[group].first_position = 0;
  }
}

SequenceCache::Extent SequenceCache::extent(size_t group) const {
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
    const int64_t seen_from = FirstSeen(geometry[group], length);
    if (first < 0 || first % kPage != 0 || first > seen_from || pages < 0 || pages > last_page ||
        first / kPage + pages != last_page)
      return Fail(Code::kCorrupt, "page group " + std::to_string(group) + " holds " +
                                      std::to_string(pages) + " pages from position " +
                                      std::to_string(first) + "; a cache of " +
                                      std::to_string(length) + " positions cannot");
    cache.tables_[group].first_position = first;
    if (pages > 0) MIRAGE_TRY(pool.Take(group, pages, &cache.tables_[group].pages));
  }
  cache.length_ = length;
  return cache;
}

std::span<std::byte> SequenceCache::PageBytes(size_t group, int64_t index, size_t slot) const {
  const LayerGroup& shape = pool_->geometry()[group];
  const kernels::KvLayer layer = pool_->layer(shape.layers[slot]);
  const PageNumber page = tables_[group].pages[static_cast<size_t>(index)];
  return {layer.base + page * layer.page_bytes, static_cast<size_t>(layer.page_bytes)};
}

void SequenceCache::CopyPage(size_t group, int64_t index, size_t slot,
                             std::span<std::byte> out) const {
  const LayerGroup& shape = pool_->geometry()[group];
  const std::span<const std::byte> page = PageBytes(group, index, slot);
  const int64_t begin = tables_[group].first_position + index * kPage;
  const auto valid = static_cast<size_t>(std::clamp<int64_t>(length_ - begin, 0, kPage));
  constexpr size_t kValue = sizeof(uint16_t);
  std::fill(out.begin(), out.end(), std::byte{0});
  // K as [kv_head][head_dim][slot], then V as [kv_head][slot][head_dim] (kernels/ops.h).
  const auto rows = static_cast<size_t>(shape.kv_heads) * static_cast<size_t>(shape.head_dim);
  for (size_t row = 0; row < rows; ++row)
    std::memcpy(out.data() + row * kPage * kValue, page.data() + row * kPage * kValue,
                valid * kValue);
  const size_t width = static_cast<size_t>(shape.head_dim) * kValue;
  for (size_t head = 0; head < static_cast<size_t>(shape.kv_heads); ++head) {
    const size_t at = rows * kPage * kValue + head * kPage * width;
    std::memcpy(out.data() + at, page.data() + at, valid * width);
  }
}

std::optional<PageNumber> SequenceCache::PageAt(size_t group, int64_t position) const {
  const PageTable& table = tables_[group];
  const int64_t index = (position - table.first_position) / kPage;
  if (position < table.first_position || index >= static_cast<int64_t>(table.pages.size()))
    return std::nullopt;
  return table.pages[static_cast<size_t>(index)];
}

void SequenceCache::ReplacePage(size_t group, int64_t position, PageNumber same) {
  PageTable& table = tables_[group];
  PageNumber& place = table.pages[static_cast<size_t>((position - table.first_position) / kPage)];
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
  for (size_t group = 0; group < tables_.size(); ++group)
    for (const PageNumber page : tables_[group].pages) ++(*counts)[group][page];
}

kernels::SequenceView SequenceCache::View(size_t group, int32_t row0, int32_t tokens) const {
  const PageTable& table = tables_[group];
  return {table.pages.data(), table.first_position, length_, row0, tokens};
}

void SequenceCache::DropFrom(size_t group, size_t first_index) {
  std::vector<PageNumber>& pages = tables_[group].pages;
  if (first_index >= pages.size()) return;
  pool_->Drop(group, std::span(pages).subspan(first_index));
  pages.resize(first_index);
}

}  // namespace mirage::kv
