// SPDX-License-Identifier: Apache-2.0
#pragma once

// Seams: where no token of a vocabulary reaches across, so that a long text may be encoded part by
// part with the same result and the memory of a part.
//
// Two letters with no token between them that holds the end of one beside the beginning of the
// other never join, whatever is merged around them. Immutable: any thread.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/token_table.h"
#include "text/unicode.h"

namespace mirage::text {

class Seams {
 public:
  explicit Seams(const TokenTable& tokens) : side_by_side_(65536) {
    for (size_t i = 0; i < tokens.count(); ++i) {
      const auto id = static_cast<int32_t>(i);
      if (!IsOrdinary(tokens.type(id))) continue;
      const std::string_view text = tokens.text(id);
      for (size_t at = 1; at < text.size(); ++at) side_by_side_[Pair(text, at)] = true;
    }
  }

  // Calls visit(part) for the parts of well-formed UTF-8, in order.
  template <typename Visit>
  void ForEachPart(std::string_view text, Visit&& visit) const {
    size_t begin = 0;
    for (size_t at = 0; at < text.size(); at += Utf8Length(text[at])) {
      if (at == begin || side_by_side_[Pair(text, at)]) continue;
      visit(text.substr(begin, at - begin));
      begin = at;
    }
    if (begin < text.size()) visit(text.substr(begin));
  }

  [[nodiscard]] size_t heap_bytes() const { return side_by_side_.capacity() / 8; }

 private:
  // The bytes before and at `at`.
  static size_t Pair(std::string_view text, size_t at) {
    return size_t{static_cast<unsigned char>(text[at - 1])} << 8 |
           static_cast<unsigned char>(text[at]);
  }

  std::vector<bool> side_by_side_;
};

}  // namespace mirage::text
