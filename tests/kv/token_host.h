// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sequences of tokens whose pages hold what a model would put there: at every position a number
// that follows from the tokens up to it.

#include <cstdint>
#include <span>
#include <vector>

#include "kv/prefix_cache.h"
#include "kv/sequence_cache.h"
#include "tests/kv/kv_host.h"

namespace mirage::kv {

using Tokens = std::vector<int32_t>;

// `count` tokens; those of unlike seeds differ from the first on.
inline Tokens Text(int32_t seed, int64_t count) {
  Tokens tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(seed * 10000 + static_cast<int32_t>(i));
  return tokens;
}
inline Tokens operator+(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline uint64_t HashOf(std::span<const int32_t> tokens, int32_t layer) {
  uint64_t hash = 0x9E3779B97F4A7C15u + static_cast<uint64_t>(layer);
  for (const int32_t token : tokens)
    hash = (hash ^ static_cast<uint64_t>(token + 1)) * 0x100000001B3u;
  return hash;
}

// Computes what `cache` lacks of `tokens`, as a step does; false when there are no pages for it.
[[nodiscard]] inline bool Compute(PagePool& pool, const Tokens& tokens, SequenceCache* cache) {
  const auto end = static_cast<int64_t>(tokens.size());
  if (!cache->Reserve(end)) return false;
  for (size_t group = 0; group < pool.geometry().size(); ++group)
    for (const int32_t layer : pool.geometry()[group].layers)
      for (int64_t position = cache->length(); position < end; ++position)
        Mark(pool, layer, *cache->PageAt(group, position), position,
             HashOf(std::span(tokens).first(static_cast<size_t>(position) + 1), layer));
  return true;
}

// The first position at which the cache does not hold what it should, or -1.
[[nodiscard]] inline int64_t FirstWrong(PagePool& pool, const Tokens& tokens,
                                        const SequenceCache& cache) {
  for (size_t group = 0; group < pool.geometry().size(); ++group) {
    const LayerGroup& shape = pool.geometry()[group];
    for (int64_t position = FirstSeen(shape, cache.length()); position < cache.length();
         ++position) {
      const auto page = cache.PageAt(group, position);
      if (!page) return position;
      for (const int32_t layer : shape.layers)
        if (MarkAt(pool, layer, *page, position) !=
            HashOf(std::span(tokens).first(static_cast<size_t>(position) + 1), layer))
          return position;
    }
  }
  return -1;
}

}  // namespace mirage::kv
