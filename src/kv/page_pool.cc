// SPDX-License-Identifier: Apache-2.0
#include "kv/page_pool.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <string>

#include "base/guarded.h"

namespace mirage::kv {

Result<std::unique_ptr<PagePool>> PagePool::Create(memory::Arena& arena, Geometry geometry,
                                                   uint64_t address_bytes,
                                                   memory::Promise* promise) {
  auto pool = std::unique_ptr<PagePool>(new PagePool(arena, std::move(geometry), promise));
  size_t layers = 0;
  for (const LayerGroup& group : pool->geometry_)
    for (const int32_t layer : group.layers)
      layers = std::max(layers, static_cast<size_t>(layer) + 1);
  pool->group_of_layer_.assign(layers, -1);
  pool->slot_of_layer_.assign(layers, -1);

  for (size_t g = 0; g < pool->geometry_.size(); ++g) {
    const LayerGroup& shape = pool->geometry_[g];
    Group& group = pool->groups_.emplace_back();
    const uint64_t pages = address_bytes / shape.bytes_per_page() + 1;
    group.capacity = static_cast<PageNumber>(
        std::min<uint64_t>(pages, std::numeric_limits<PageNumber>::max() / 2));
    group.ranges.reserve(shape.layers.size());  // so that no range is reserved and not noted
    for (size_t slot = 0; slot < shape.layers.size(); ++slot) {
      pool->group_of_layer_[shape.layers[slot]] = static_cast<int32_t>(g);
      pool->slot_of_layer_[shape.layers[slot]] = static_cast<int32_t>(slot);
      MIRAGE_TRY_ASSIGN(const memory::Range range,
                        arena.Reserve(uint64_t{group.capacity} * shape.page_bytes(), promise));
      group.ranges.push_back(range);
    }
  }
  return pool;
}

PagePool::~PagePool() {
  for (const Group& group : groups_)
    for (const memory::Range& range : group.ranges) arena_.Release(range);
}

Status PagePool::Take(size_t group_index, int64_t count, std::vector<PageNumber>* out) {
  const std::lock_guard lock(mutex_);
  Group& group = groups_[group_index];
  const LayerGroup& shape = geometry_[group_index];
  const size_t before = out->size();
  // Everything that could fail to grow grows first: what follows changes counters only.
  out->reserve(before + static_cast<size_t>(count));
  group.holders.reserve(std::min<uint64_t>(
      group.capacity, uint64_t{group.next_unused} + static_cast<uint64_t>(count)));
  group.free.reserve(group.holders.capacity());
  for (int64_t i = 0; i < count; ++i) {
    PageNumber page;
    if (!group.free.empty()) {
      std::pop_heap(group.free.begin(), group.free.end(), std::greater<>());
      page = group.free.back();
      group.free.pop_back();
    } else if (group.next_unused < group.capacity) {
      page = group.next_unused++;
      group.holders.push_back(0);
    } else {
      for (size_t j = before; j < out->size(); ++j) Free(group_index, (*out)[j]);
      out->resize(before);
      return OutOfMemory("KV pages: the " + std::to_string(group.capacity) +
                             " pages of the reserved addresses are all in use",
                         static_cast<uint64_t>(count) * shape.bytes_per_page(), 0);
    }
    if (Status backed = BackPage(group, shape, page); !backed) {
      group.free.push_back(page);
      std::push_heap(group.free.begin(), group.free.end(), std::greater<>());
      Error error = std::move(backed).error();
      // Those after it lie in its chunks, as far as these reach.
      uint64_t cost = static_cast<uint64_t>(count - i - 1) * shape.bytes_per_page();
      for (const memory::Range& range : group.ranges)
        cost += arena_.CostToBack(range, uint64_t{page} * shape.page_bytes(), shape.page_bytes());
      const uint64_t available = available_bytes();
      for (size_t j = before; j < out->size(); ++j) Free(group_index, (*out)[j]);
      out->resize(before);
      if (error.needed_bytes > error.available_bytes) {  // the limit's doing, not the system's
        error.available_bytes = available_bytes();
        error.needed_bytes = error.available_bytes + (cost > available ? cost - available : 1);
      }
      return Fail(std::move(error));
    }
    group.holders[page] = 1;
    ++stats_.pages_held;
    stats_.bytes_held += shape.bytes_per_page();
    out->push_back(page);
  }
  stats_.bytes_peak = std::max(stats_.bytes_peak, stats_.bytes_held);
  return {};
}

void PagePool::Share(size_t group, std::span<const PageNumber> pages) {
  const std::lock_guard lock(mutex_);
  for (const PageNumber page : pages) ++groups_[group].holders[page];
}

void PagePool::Drop(size_t group, std::span<const PageNumber> pages) {
  const std::lock_guard lock(mutex_);
  for (const PageNumber page : pages)
    if (groups_[group].holders[page] == 1)
      Free(group, page);
    else
      --groups_[group].holders[page];
}

uint32_t PagePool::holders(size_t group, PageNumber page) const {
  const std::lock_guard lock(mutex_);
  return page < groups_[group].holders.size() ? groups_[group].holders[page] : 0;
}

void PagePool::Copy(size_t group_index, PageNumber from, PageNumber to) {
  const uint64_t bytes = geometry_[group_index].page_bytes();
  for (const memory::Range& range : groups_[group_index].ranges)
    arena_.device().Copy(range.base + to * bytes, range.base + from * bytes, bytes);
}

uint64_t PagePool::most_bytes() const {
  const memory::LedgerSnapshot ledger = arena_.ledger().Snapshot();
  const uint64_t others = ledger.used - ledger.by_owner[static_cast<size_t>(memory::Owner::kKv)];
  return ledger.limit > others ? ledger.limit - others : 0;
}

uint64_t PagePool::LeastBytesFor(int64_t tokens) const {
  uint64_t bytes = 0;
  for (const LayerGroup& group : geometry_)
    bytes += BackedBytes(group, static_cast<uint64_t>(LeastPagesFor(group, tokens)),
                         arena_.chunk_bytes());
  return bytes;
}

// The lowest free pages are taken first, so that those of one call lie together but for pages that
// are held, whose chunks are backed already: a chunk more than they fill is touched at most.
uint64_t PagePool::MostBytesToTake(std::span<const int64_t> pages) const {
  const uint64_t chunk = arena_.chunk_bytes();
  uint64_t bytes = 0;
  for (size_t group = 0; group < pages.size(); ++group) {
    const LayerGroup& shape = geometry_[group];
    if (pages[group] == 0) continue;
    bytes += BackedBytes(shape, static_cast<uint64_t>(pages[group]), chunk);
    if (shape.page_bytes() % chunk != 0) bytes += chunk * shape.layers.size();
  }
  return bytes;
}

kernels::KvLayer PagePool::layer(int32_t layer) const {
  const size_t group = static_cast<size_t>(group_of_layer_[layer]);
  const LayerGroup& shape = geometry_[group];
  return {groups_[group].ranges[slot_of_layer_[layer]].base, shape.page_bytes(), shape.kv_heads,
          shape.head_dim, shape.type};
}

PoolStats PagePool::Stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

Status PagePool::CheckInvariants() const {
  const std::lock_guard lock(mutex_);
  uint64_t held = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const Group& group = groups_[g];
    uint64_t held_here = 0;
    for (const uint32_t holders : group.holders) held_here += holders > 0;
    for (const PageNumber page : group.free)
      if (group.holders[page] != 0)
        return Fail(Code::kInternal, "page " + std::to_string(page) + " is free and held");
    if (held_here + group.free.size() != group.next_unused)
      return Fail(Code::kInternal, "pages of group " + std::to_string(g) + " do not add up");
    held += held_here;
  }
  if (held != stats_.pages_held) return Fail(Code::kInternal, "held pages are miscounted");
  return {};
}

Status PagePool::CheckHolders(const HoldCounts& counts, bool exact) const {
  const std::lock_guard lock(mutex_);
  for (size_t g = 0; g < groups_.size(); ++g) {
    const std::vector<uint32_t>& holders = groups_[g].holders;
    for (const auto& [page, count] : counts[g])
      if (page >= holders.size() || holders[page] < count)
        return Fail(Code::kInternal, "page " + std::to_string(page) + " of group " +
                                         std::to_string(g) + " has fewer holders than hold it");
    if (!exact) continue;
    for (PageNumber page = 0; page < holders.size(); ++page) {
      const auto known = counts[g].find(page);
      if (holders[page] != (known == counts[g].end() ? 0 : known->second))
        return Fail(Code::kInternal, "page " + std::to_string(page) + " of group " +
                                         std::to_string(g) + " has more holders than hold it");
    }
  }
  return {};
}

// Nothing is thrown: the page is already in nobody's list.
Status PagePool::BackPage(Group& group, const LayerGroup& shape, PageNumber page) {
  for (size_t slot = 0; slot < group.ranges.size(); ++slot) {
    Status backed = Guarded([&] {
      return arena_.Back(group.ranges[slot], uint64_t{page} * shape.page_bytes(),
                         shape.page_bytes(), memory::Owner::kKv);
    });
    if (!backed) {
      UnbackPage(group, shape, page, slot);
      return backed;
    }
  }
  return {};
}

void PagePool::UnbackPage(Group& group, const LayerGroup& shape, PageNumber page, size_t layers) {
  for (size_t slot = 0; slot < layers; ++slot)
    arena_.Unback(group.ranges[slot], uint64_t{page} * shape.page_bytes(), shape.page_bytes());
}

void PagePool::Free(size_t group_index, PageNumber page) {
  Group& group = groups_[group_index];
  const LayerGroup& shape = geometry_[group_index];
  UnbackPage(group, shape, page, group.ranges.size());
  group.holders[page] = 0;
  group.free.push_back(page);
  std::push_heap(group.free.begin(), group.free.end(), std::greater<>());
  --stats_.pages_held;
  stats_.bytes_held -= shape.bytes_per_page();
}

}  // namespace mirage::kv
