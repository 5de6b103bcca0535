// SPDX-License-Identifier: Apache-2.0

// Admission: which requests may start, and which of those that gave up their pages may go on.
// Engine thread.

#include <algorithm>
#include <map>
#include <vector>

#include "engine/engine_impl.h"

namespace mirage::engine {
namespace {

// By pool: pages of each group.
using PageCounts = std::map<const kv::PagePool*, std::vector<int64_t>>;

// What a request may take yet, besides what it holds, until it ends.
void AddStillToTake(const ActiveRequest& request, PageCounts* counts) {
  const kv::PagePool& pages = request.runner().pages();
  const kv::Geometry& geometry = pages.geometry();
  std::vector<int64_t>& of_groups = (*counts)[&pages];
  of_groups.resize(geometry.size());
  const int64_t tokens = request.cache().length() + request.pending() + request.most_left();
  const int64_t step = std::min(tokens, request.runner().max_step_tokens());
  for (size_t group = 0; group < geometry.size(); ++group) {
    const int64_t whole = kv::PagesFor(geometry[group], tokens, step, kv::Snapshots::kSkip);
    of_groups[group] += std::max<int64_t>(0, whole - request.cache().extent(group).pages);
  }
}

uint64_t HeldBytes(const ActiveRequest& request) {
  const kv::Geometry& geometry = request.runner().pages().geometry();
  uint64_t bytes = 0;
  for (size_t group = 0; group < geometry.size(); ++group)
    bytes += static_cast<uint64_t>(request.cache().extent(group).pages) *
             geometry[group].bytes_per_page();
  return bytes;
}

}  // namespace

// A preempted request starts again only when all it lost fits beside a page more for everybody
// older: else it would be thrown out again before it has caught up.
bool Engine::Impl::MayGoOn(const ActiveRequest& request) {
  if (!request.recomputing()) return true;
  uint64_t needed = 0;
  bool alone = true;
  for (const auto& other : active) {
    if (other.get() == &request) break;
    if (other->cache().length() == 0 || other->paused()) continue;  // a paused one gives room
    alone = false;
    for (const kv::LayerGroup& group : other->runner().pages().geometry())
      needed += group.bytes_per_page();
  }
  if (alone) return true;
  for (const kv::LayerGroup& group : request.runner().pages().geometry())
    needed += static_cast<uint64_t>(
                  kv::PagesFor(group, request.pending(), request.pending(), kv::Snapshots::kSkip)) *
              group.bytes_per_page();
  const uint64_t available = request.runner().pages().available_bytes();
  return needed <= available || needed <= available + EvictableFor(request.runner().pages());
}

// Counting goes through all trees, so it is done once in a round, and again when some were evicted.
uint64_t Engine::Impl::EvictableFor(const kv::PagePool& pages) {
  const auto [known, asked] = evictable.try_emplace(&pages, 0);
  if (asked) known->second = prefixes.EvictableBytes(&pages);
  return known->second;
}

// Those that wait start in order while all they may come to hold fits; one that does not fit yet
// keeps those after it from passing it by, so that none waits for ever.
void Engine::Impl::StartWaiting() {
  if (!options.policy->starts_whole()) return;
  while (ActiveRequest* const next = NextToStart()) {
    if (!MayStart(*next)) {
      starved = true;
      return;
    }
    next->started = true;
  }
}

// By priority and arrival, but those that have waited long by arrival alone, and first.
ActiveRequest* Engine::Impl::NextToStart() const {
  ActiveRequest* first = nullptr;
  ActiveRequest* longest = nullptr;
  for (const auto& request : active) {
    if (request->started) continue;
    if (first == nullptr) first = request.get();
    const bool starving = step_number - request->last_served >= kStarvedSteps;
    if (starving && (longest == nullptr || request->number < longest->number))
      longest = request.get();
  }
  return longest != nullptr ? longest : first;
}

// One that a reader keeps waiting is not reckoned with: it gives room to others. Where nobody else
// has started there is nothing to wait for. What sessions keep of earlier turns gives way, those
// that wait to start included, but only where that is enough.
bool Engine::Impl::MayStart(const ActiveRequest& request) {
  PageCounts counts;
  uint64_t kept = 0;
  for (const auto& other : active) {
    if (!other->started && other.get() != &request) continue;
    kept += HeldBytes(*other);
    if (other->started && !other->paused()) AddStillToTake(*other, &counts);
  }
  if (counts.empty()) return true;
  AddStillToTake(request, &counts);
  uint64_t needed = 0;
  for (const auto& [pool, pages] : counts) needed += pool->MostBytesToTake(pages);
  const kv::PagePool& pages = request.runner().pages();
  uint64_t held = 0;
  for (const std::shared_ptr<ModelRunner>& runner : prefixes.Runners())
    held += runner->pages().Stats().bytes_held;
  if (needed > pages.available_bytes() + held - std::min(held, kept)) return false;
  const auto fits = [&] {
    return needed <= pages.available_bytes() + prefixes.EvictableBytes(&pages);
  };
  while (!fits())
    if (!DropIdleCache(pages, KnownSequences()) && !DropWaitingCache(request, pages)) return false;
  return true;
}

// Of the youngest that has not started, but not of `request`.
bool Engine::Impl::DropWaitingCache(const ActiveRequest& request, const kv::PagePool& pages) {
  if (!options.policy->starts_whole()) return false;
  return std::any_of(active.rbegin(), active.rend(), [&](const auto& other) {
    return other.get() != &request && !other->started &&
           other->runner().pages().FreeableFor(&pages) > 0 && other->DropCache();
  });
}

bool Engine::Impl::IsOldestStarted(const ActiveRequest& request) const {
  const auto oldest = std::find_if(active.begin(), active.end(), [](const auto& other) {
    return other->started && !other->paused();
  });
  return oldest != active.end() && oldest->get() == &request;
}

}  // namespace mirage::engine
