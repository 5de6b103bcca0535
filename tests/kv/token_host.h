// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sequences of tokens whose pages hold what a model would put there: at every position, and in the
// state after it, a number that follows from the tokens up to it. A state's is made from the state
// before.

#include <algorithm>
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

inline uint64_t StartOf(int32_t layer) {
  return 0x9E3779B97F4A7C15u + static_cast<uint64_t>(layer);
}
inline uint64_t Advance(uint64_t hash, int32_t token) {
  return (hash ^ static_cast<uint64_t>(token + 1)) * 0x100000001B3u;
}
inline uint64_t HashOf(std::span<const int32_t> tokens, int32_t layer) {
  uint64_t hash = StartOf(layer);
  for (const int32_t token : tokens) hash = Advance(hash, token);
  return hash;
}

// Writes the states that are wanted on the way.
inline void AdvanceStates(const PagePool& pool, size_t group, int32_t layer, const Tokens& tokens,
                          const SequenceCache& cache) {
  const StateView states = cache.States(group);
  uint64_t hash = states.before ? MarkAt(pool, layer, *states.before, 0) : StartOf(layer);
  auto next = states.after.begin();
  for (int64_t position = cache.length(); position < static_cast<int64_t>(tokens.size());
       ++position) {
    hash = Advance(hash, tokens[static_cast<size_t>(position)]);
    if (next == states.after.end() || *next != position + 1) continue;
    Mark(pool, layer, states.pages[static_cast<size_t>(next - states.after.begin())], 0, hash);
    ++next;
  }
}

// Computes what `cache` lacks of `tokens`, as a step does; false when there are no pages for it.
// `settled`: as for SequenceCache::Reserve.
[[nodiscard]] inline bool Compute(PagePool& pool, const Tokens& tokens, SequenceCache* cache,
                                  int64_t settled = INT64_MAX,
                                  Snapshots snapshots = Snapshots::kTake) {
  const auto end = static_cast<int64_t>(tokens.size());
  if (!cache->Reserve(end, std::min(settled, end), snapshots)) return false;
  for (size_t group = 0; group < pool.geometry().size(); ++group)
    for (const int32_t layer : pool.geometry()[group].layers)
      if (pool.geometry()[group].kind == CacheKind::kState)
        AdvanceStates(pool, group, layer, tokens, *cache);
      else
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
    if (shape.kind == CacheKind::kState) {
      for (int64_t after = 1; after <= cache.length(); ++after)
        for (const int32_t layer : shape.layers)
          if (const auto page = cache.PageAt(group, after);
              page ? MarkAt(pool, layer, *page, 0) !=
                         HashOf(std::span(tokens).first(static_cast<size_t>(after)), layer)
                   : after == cache.length())
            return after;
      continue;
    }
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
