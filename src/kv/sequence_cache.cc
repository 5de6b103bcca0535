// SPDX-License-Identifier: Apache-2.0
#include "kv/sequence_cache.h"

#include <algorithm>
#include <span>
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

Status SequenceCache::Reserve(int64_t end) {
  bool enough = true;
  for (const Table& table : tables_)
    enough =
        enough && end <= table.first_position + static_cast<int64_t>(table.pages.size()) * kPage;
  if (enough) return {};  // as in 31 of 32 decode steps

  std::vector<size_t> before;  // pages of each group
  for (const Table& table : tables_) before.push_back(table.pages.size());
  for (size_t group = 0; group < tables_.size(); ++group) {
    Table& table = tables_[group];
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
    // The next query is at `end` and sees (end - window, end].
    Table& table = tables_[group];
    const int64_t oldest_seen = std::max<int64_t>(0, end - shape.window + 1);
    const int64_t unseen = (oldest_seen - table.first_position) / kPage;
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
    if (shape.kind == CacheKind::kWindow &&
        tables_[group].first_position > std::max<int64_t>(0, left - shape.window + 1))
      left = 0;
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

kernels::SequenceView SequenceCache::View(size_t group, int32_t row0, int32_t tokens) const {
  const Table& table = tables_[group];
  return {table.pages.data(), table.first_position, length_, row0, tokens};
}

void SequenceCache::DropFrom(size_t group, size_t first_index) {
  std::vector<PageNumber>& pages = tables_[group].pages;
  if (first_index >= pages.size()) return;
  pool_->Drop(group, std::span(pages).subspan(first_index));
  pages.resize(first_index);
}

}  // namespace mirage::kv
