// SPDX-License-Identifier: Apache-2.0

// Swapping: pages that are written to a slower tier and read back, beside the steps. Engine thread.

#include <algorithm>

#include "base/guarded.h"
#include "engine/engine_impl.h"
#include "engine/request_trace.h"

namespace mirage::engine {

// Takes note of what has been moved, and begins to bring back who may go on, oldest first. What was
// lost is computed again.
void Engine::Impl::TendSwaps() {
  if (options.swap == nullptr) return;
  for (const auto& request : active) {
    SwappedCache* const swapped = request->swapped();
    if (swapped == nullptr) continue;
    using Place = SwappedCache::Place;
    const Place place = swapped->Look(&swap_cost);
    if (place == Place::kBack) {
      const std::lock_guard lock(mutex);
      stats.bytes_swapped_in += swapped->bytes();
    }
    if (place == Place::kBack || place == Place::kLost) request->TakeSwapped();
    const bool may_return = place == Place::kAway && !request->paused() && !request->must_shift();
    if (may_return && MayGoOn(*request)) BringBack(*request);
  }
}

// Room is made for it as for what would be computed again. Where there is none though nobody else
// holds any, computing again is what says so.
void Engine::Impl::BringBack(ActiveRequest& request) {
  SwappedCache& swapped = *request.swapped();
  Status back = swapped.Return();
  while (!back && MakeRoomFor(&request, swapped.pool(), Lacking(back.error()), {}))
    back = swapped.Return();
  if (back) return;
  starved = true;
  if (!AnyoneElseHoldsPages(&request, nullptr, swapped.pool())) request.TakeSwapped();
}

// False where it cannot be: its pages are to be computed again.
bool Engine::Impl::SwapOut(ActiveRequest& request) {
  const Status left = Guarded([&] { return request.SwapOut(*options.swap); });
  if (!left) return false;
  trace.Add(Instant(request, "swapped out", clock.NowNs()));
  const std::lock_guard lock(mutex);
  stats.bytes_swapped_out += request.swapped()->bytes();
  return true;
}

// Of pages that are being written, of whose bytes `pages` could make use.
uint64_t Engine::Impl::LeavingBytes(const kv::PagePool& pages) const {
  uint64_t bytes = 0;
  for (const auto& request : active)
    if (const SwappedCache* swapped = request->swapped())
      if (swapped->place() == SwappedCache::Place::kLeaving &&
          swapped->pool().FreeableFor(&pages) > 0)
        bytes += swapped->bytes();
  return bytes;
}

// Where there is nothing else to do: waits for one move, if one is under way.
bool Engine::Impl::AwaitSwap() {
  for (const auto& request : active) {
    const SwappedCache* const swapped = request->swapped();
    if (swapped == nullptr || !swapped->moving()) continue;
    swapped->AwaitMove();
    return true;
  }
  return false;
}

}  // namespace mirage::engine
