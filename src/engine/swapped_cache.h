// SPDX-License-Identifier: Apache-2.0
#pragma once

// SwappedCache: what a sequence had computed, out of memory for a while.
//
//   kLeaving    its pages are written; they are still held
//   kAway       it is in the swap space alone
//   kReturning  pages were taken for it and are read
//   kBack       it can be taken
//   kLost       a write or a read failed: nothing is held, and it has to be computed again
//
// States that are kept only to go back to stay behind. Moves go on beside the engine's steps; Look
// says what has become of them. Engine thread.

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "kv/sequence_cache.h"
#include "memory/swap_space.h"

namespace mirage::engine {

// What moving a byte takes, learnt from moves; constants until there was one.
class SwapCost {
 public:
  void Learn(uint64_t bytes, int64_t took_ns);
  // To write so many bytes and to read them back.
  [[nodiscard]] double RoundTripNs(uint64_t bytes) const {
    return 2 * byte_ns_ * static_cast<double>(bytes);
  }

 private:
  double byte_ns_ = 2;  // of a disk that gives 500 MB/s
};

class SwappedCache {
 public:
  enum class Place : uint8_t { kLeaving, kAway, kReturning, kBack, kLost };

  // Begins to write what `cache` holds, which is empty then. kOutOfMemory where the swap space has
  // no room; an error changes nothing but the room reserved for more.
  [[nodiscard]] static Result<std::unique_ptr<SwappedCache>> Leave(memory::SwapSpace& space,
                                                                   kv::PagePool& pool,
                                                                   kv::SequenceCache* cache);
  // After what is under way.
  ~SwappedCache();
  SwappedCache(const SwappedCache&) = delete;
  SwappedCache& operator=(const SwappedCache&) = delete;

  [[nodiscard]] Place place() const { return place_; }
  [[nodiscard]] uint64_t bytes() const { return extent_.bytes; }
  [[nodiscard]] const kv::PagePool& pool() const { return pool_; }
  [[nodiscard]] bool moving() const {
    return place_ == Place::kLeaving || place_ == Place::kReturning;
  }

  // Notes what has been moved meanwhile.
  Place Look(SwapCost* cost);
  void AwaitMove() const { transfers_.Await(); }
  // kAway: takes pages and begins to read them. kOutOfMemory: it stays away.
  [[nodiscard]] Status Return();
  // kBack.
  [[nodiscard]] kv::SequenceCache Take() { return std::move(cache_); }

 private:
  SwappedCache(memory::SwapSpace& space, kv::PagePool& pool) : space_(space), pool_(pool) {}

  memory::SwapSpace& space_;
  kv::PagePool& pool_;
  Place place_ = Place::kAway;
  memory::SwapSpace::Extent extent_;
  memory::Transfers transfers_;
  int64_t length_ = 0;
  std::vector<kv::SequenceCache::Extent> extents_;  // of each group
  kv::SequenceCache cache_;                         // kLeaving, kReturning, kBack
};

}  // namespace mirage::engine
