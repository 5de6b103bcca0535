// SPDX-License-Identifier: Apache-2.0
#include "engine/swapped_cache.h"

#include <utility>

#include "base/guarded.h"

namespace mirage::engine {
namespace {

// The bytes of all pages, group by group, in the order in which they are written and read.
memory::SwapSpace::Pages PagesOf(const kv::SequenceCache& cache, const kv::Geometry& geometry) {
  memory::SwapSpace::Pages pages;
  for (size_t group = 0; group < geometry.size(); ++group)
    for (size_t slot = 0; slot < geometry[group].layers.size(); ++slot)
      for (int64_t index = 0; index < cache.extent(group).pages; ++index)
        pages.push_back(cache.PageBytes(group, index, slot));
  return pages;
}

}  // namespace

void SwapCost::Learn(uint64_t bytes, int64_t took_ns) {
  if (bytes == 0 || took_ns <= 0) return;
  byte_ns_ = 0.8 * byte_ns_ + 0.2 * static_cast<double>(took_ns) / static_cast<double>(bytes);
}

Result<std::unique_ptr<SwappedCache>> SwappedCache::Leave(memory::SwapSpace& space,
                                                          kv::PagePool& pool,
                                                          kv::SequenceCache* cache) {
  std::unique_ptr<SwappedCache> swapped(new SwappedCache(space, pool));
  cache->Rollback();
  swapped->length_ = cache->length();
  uint64_t bytes = 0;
  for (size_t group = 0; group < pool.geometry().size(); ++group) {
    const kv::SequenceCache::Extent extent = cache->extent(group);
    swapped->extents_.push_back(extent);
    bytes += static_cast<uint64_t>(extent.pages) * pool.geometry()[group].bytes_per_page();
  }
  memory::SwapSpace::Pages pages = PagesOf(*cache, pool.geometry());
  const auto extent = space.Take(bytes);
  if (!extent) return OutOfMemory("the swap space is full", bytes, 0);
  swapped->extent_ = *extent;  // from here on it is given back
  MIRAGE_TRY_ASSIGN(swapped->transfers_, space.Write(*extent, std::move(pages)));
  swapped->cache_ = std::exchange(*cache, kv::SequenceCache(pool));
  swapped->place_ = Place::kLeaving;
  return swapped;
}

SwappedCache::~SwappedCache() {
  transfers_.Await();
  if (extent_.bytes > 0) space_.Give(extent_);
}

SwappedCache::Place SwappedCache::Look(SwapCost* cost) {
  if (!moving() || !transfers_.done()) return place_;
  cost->Learn(extent_.bytes, transfers_.took_ns());
  const bool moved = transfers_.outcome().has_value();
  if (!moved || place_ == Place::kLeaving) cache_.Clear();
  if (!moved)
    place_ = Place::kLost;
  else
    place_ = place_ == Place::kLeaving ? Place::kAway : Place::kBack;
  return place_;
}

Status SwappedCache::Return() {
  return Guarded([&]() -> Status {
    MIRAGE_TRY_ASSIGN(kv::SequenceCache cache,
                      kv::SequenceCache::WithPages(pool_, length_, extents_));
    MIRAGE_TRY_ASSIGN(transfers_, space_.Read(extent_, PagesOf(cache, pool_.geometry())));
    cache_ = std::move(cache);
    place_ = Place::kReturning;
    return {};
  });
}

}  // namespace mirage::engine
