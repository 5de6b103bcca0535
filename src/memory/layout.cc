// SPDX-License-Identifier: Apache-2.0
#include "memory/layout.h"

namespace mirage::memory {

HomeChunks::HomeChunks(std::span<const uint64_t> region_bytes, uint64_t chunk_bytes)
    : chunk_bytes_(chunk_bytes) {
  spans_.reserve(region_bytes.size());
  uint64_t end = 0;
  for (const uint64_t bytes : region_bytes) {
    const uint64_t begin = HomeOffset(end);
    end = begin + bytes;
    spans_.push_back(
        {static_cast<size_t>(begin / chunk_bytes), static_cast<size_t>(CeilDiv(end, chunk_bytes))});
  }
  users_.resize(static_cast<size_t>(CeilDiv(end, chunk_bytes)));
}

void HomeChunks::Add(size_t region) {
  for (size_t i = spans_[region].begin; i < spans_[region].end; ++i)
    if (users_[i]++ == 0) ++backed_;
}

void HomeChunks::Remove(size_t region) {
  for (size_t i = spans_[region].begin; i < spans_[region].end; ++i)
    if (--users_[i] == 0) --backed_;
}

uint64_t HomeChunks::CostOf(size_t region) const {
  uint64_t chunks = 0;
  for (size_t i = spans_[region].begin; i < spans_[region].end; ++i)
    chunks += users_[i] == 0 ? 1 : 0;
  return chunks * chunk_bytes_;
}

}  // namespace mirage::memory
