// SPDX-License-Identifier: Apache-2.0
#pragma once

// SymbolMerger: joins neighbouring symbols, best pair first, until no pair may join.
//
// This is byte-pair encoding, whatever ranks the pairs: a merge list or the scores of the joined
// tokens. A heap of candidates over a linked list makes it n log n for any text. Equal ranks go
// left to right.
//
// Working memory of one call chain; not shared.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace mirage::text {

class SymbolMerger {
 public:
  struct Symbol {
    uint32_t begin, bytes;  // in the text; 0 bytes once it has joined its left neighbour
    int32_t id;             // its token, or kNoToken
    int32_t previous, next;
  };
  struct Merge {
    uint32_t rank;  // lower is better
    int32_t id;     // of the joined token
  };

  // For a text of at most `most` symbols.
  void Clear(size_t most) {
    symbols_.clear();
    symbols_.reserve(most);  // growing would hold twice as much and the old ones
  }
  void Add(size_t begin, size_t bytes, int32_t id) {
    const auto index = static_cast<int32_t>(symbols_.size());
    if (index > 0) symbols_.back().next = index;
    symbols_.push_back(
        {static_cast<uint32_t>(begin), static_cast<uint32_t>(bytes), id, index - 1, -1});
  }

  // find(left, right) says whether two neighbours may join, as optional<Merge>.
  template <typename Find>
  void Run(Find&& find) {
    heap_.clear();
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) Consider(static_cast<int32_t>(i), find);
    std::make_heap(heap_.begin(), heap_.end(), Worse{});
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), Worse{});
      const Candidate best = heap_.back();
      heap_.pop_back();
      Symbol& left = symbols_[best.left()];
      if (left.bytes == 0 || left.next < 0) continue;
      Symbol& right = symbols_[static_cast<size_t>(left.next)];
      if (left.bytes + right.bytes != best.bytes) continue;  // one of them has grown since
      const auto index = static_cast<int32_t>(best.left());
      left.bytes = best.bytes;
      left.id = best.id;
      left.next = right.next;
      right.bytes = 0;
      if (right.next >= 0) symbols_[static_cast<size_t>(right.next)].previous = index;
      if (left.previous >= 0 && Consider(left.previous, find))
        std::push_heap(heap_.begin(), heap_.end(), Worse{});
      if (Consider(index, find)) std::push_heap(heap_.begin(), heap_.end(), Worse{});
    }
  }

  template <typename Emit>
  void ForEach(Emit&& emit) const {
    for (int32_t i = symbols_.empty() ? -1 : 0; i >= 0; i = symbols_[static_cast<size_t>(i)].next)
      emit(symbols_[static_cast<size_t>(i)]);
  }

 private:
  struct Candidate {
    uint64_t order;  // the rank, then the left symbol's index
    uint32_t bytes;  // of both symbols: tells a stale candidate
    int32_t id;

    [[nodiscard]] size_t left() const { return order & 0xFFFFFFFF; }
  };

  struct Worse {  // a type, not a function: its calls are inlined into the heap's
    bool operator()(const Candidate& a, const Candidate& b) const { return a.order > b.order; }
  };

  template <typename Find>
  bool Consider(int32_t left, Find& find) {
    const Symbol& l = symbols_[static_cast<size_t>(left)];
    if (l.next < 0) return false;
    const Symbol& r = symbols_[static_cast<size_t>(l.next)];
    const std::optional<Merge> merge = find(l, r);
    if (merge)
      heap_.push_back({uint64_t{merge->rank} << 32 | static_cast<uint32_t>(left), l.bytes + r.bytes,
                       merge->id});
    return merge.has_value();
  }

  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
};

}  // namespace mirage::text
