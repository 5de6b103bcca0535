// SPDX-License-Identifier: Apache-2.0
#pragma once

// PrefixIndex: some tokens of a table in order of their bytes, to find those that a text begins
// with.
//
// A trie without nodes: reading one byte narrows the range of tokens that still fit. Four bytes a
// token. Refers to the table, which outlives it. Immutable: any thread.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "text/token_table.h"

namespace mirage::text {

class PrefixIndex {
 public:
  PrefixIndex(const TokenTable& tokens, std::vector<int32_t> ids)
      : tokens_(tokens), ids_(std::move(ids)) {
    std::sort(ids_.begin(), ids_.end(), [&](int32_t a, int32_t b) {
      const std::string_view left = tokens_.text(a), right = tokens_.text(b);
      return left != right ? left < right : a < b;
    });
    for (const int32_t id : ids_) {
      const std::string_view text = tokens_.text(id);
      ++begins_[text.empty() ? 0 : static_cast<unsigned char>(text[0]) + 1];
    }
    std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
  }

  // Calls visit(id, bytes) for every token that `text` begins with, shortest first; of equals the
  // lowest id.
  template <typename Visit>
  void ForEachPrefix(std::string_view text, Visit&& visit) const {
    if (text.empty()) return;
    const auto first = static_cast<unsigned char>(text[0]);
    auto low = ids_.begin() + begins_[first], high = ids_.begin() + begins_[first + 1];
    if (low != high && tokens_.text(*low).size() == 1) visit(*low, 1);
    for (size_t depth = 1; depth < text.size() && low != high; ++depth) {
      const auto byte = static_cast<unsigned char>(text[depth]);
      const auto at_depth = [&](int32_t id) {
        const std::string_view token = tokens_.text(id);
        return token.size() > depth ? static_cast<unsigned char>(token[depth]) : -1;
      };
      low = std::partition_point(low, high, [&](int32_t id) { return at_depth(id) < byte; });
      high = std::partition_point(low, high, [&](int32_t id) { return at_depth(id) == byte; });
      if (low != high && tokens_.text(*low).size() == depth + 1) visit(*low, depth + 1);
    }
  }

  [[nodiscard]] size_t heap_bytes() const { return ids_.capacity() * sizeof(int32_t); }

 private:
  const TokenTable& tokens_;
  std::vector<int32_t> ids_;
  std::array<uint32_t, 257>
      begins_{};  // of the tokens with each first byte; empty tokens lie before
};

}  // namespace mirage::text
