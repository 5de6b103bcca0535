// SPDX-License-Identifier: Apache-2.0
#include "session/saved_pages.h"

#include <memory>
#include <utility>
#include <vector>

namespace mirage::session {
namespace {

// One for all groups but those of states: they keep their keys and values alike.
uint32_t LayoutOf(const kv::Geometry& geometry) {
  for (const kv::LayerGroup& group : geometry)
    if (group.kind != kv::CacheKind::kState) return kv::PageLayout(group.type);
  return 0;
}

uint32_t StateLayoutOf(const kv::LayerGroup& group) {
  return group.kind == kv::CacheKind::kState ? group.state_layout : 0;
}

}  // namespace

void DescribePages(const kv::Geometry& geometry, const kv::SequenceCache& cache,
                   format::SavedSession* saved) {
  saved->page_layout = LayoutOf(geometry);
  saved->groups.clear();
  for (size_t group = 0; group < geometry.size(); ++group) {
    const kv::LayerGroup& shape = geometry[group];
    const kv::SequenceCache::Extent extent = cache.extent(group);
    saved->groups.push_back({shape.page_bytes(), static_cast<uint32_t>(shape.layers.size()),
                             static_cast<uint64_t>(extent.first_position),
                             static_cast<uint64_t>(extent.pages), StateLayoutOf(shape)});
  }
}

format::PageReader ReaderOf(const kv::SequenceCache& cache, const format::SavedSession& saved) {
  return [&cache, &saved, page = std::vector<std::byte>()](size_t group, uint64_t index,
                                                           uint32_t slot) mutable {
    page.resize(saved.groups[group].page_bytes);
    cache.CopyPage(group, static_cast<int64_t>(index), slot, page);
    return std::span<const std::byte>(page);
  };
}

bool PagesFit(const kv::Geometry& geometry, const format::SavedSession& saved) {
  if (saved.page_layout != LayoutOf(geometry) || saved.groups.size() != geometry.size())
    return false;
  for (size_t group = 0; group < geometry.size(); ++group)
    if (saved.groups[group].page_bytes != geometry[group].page_bytes() ||
        saved.groups[group].layers != geometry[group].layers.size() ||
        saved.groups[group].state_layout != StateLayoutOf(geometry[group]))
      return false;
  return true;
}

Result<kv::SequenceCache> ReadPages(kv::PagePool& pool, const format::SessionFile& file) {
  const format::SavedSession& saved = file.session();
  std::vector<kv::SequenceCache::Extent> extents;
  for (const format::SavedPages& pages : saved.groups)
    extents.push_back(
        {static_cast<int64_t>(pages.first_position), static_cast<int64_t>(pages.pages)});
  MIRAGE_TRY_ASSIGN(
      kv::SequenceCache cache,
      kv::SequenceCache::WithPages(pool, static_cast<int64_t>(saved.cached), extents));
  for (size_t group = 0; group < extents.size(); ++group)
    MIRAGE_TRY(file.ReadPages(group, [&](uint64_t page, uint32_t slot) {
      return cache.PageBytes(group, static_cast<int64_t>(page), slot);
    }));
  return cache;
}

}  // namespace mirage::session
