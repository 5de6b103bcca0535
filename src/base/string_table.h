// SPDX-License-Identifier: Apache-2.0
#pragma once

// StringTable: many short strings in one block of bytes, by index.
//
// A vocabulary of 262144 tokens costs its bytes plus four per token, where a vector of std::string
// would cost ten times that. Append only.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage {

class StringTable {
 public:
  [[nodiscard]] size_t count() const { return ends_.size(); }
  [[nodiscard]] bool empty() const { return ends_.empty(); }
  [[nodiscard]] std::string_view operator[](size_t index) const {
    const uint32_t begin = index == 0 ? 0 : ends_[index - 1];
    return std::string_view(text_).substr(begin, ends_[index] - begin);
  }

  void Reserve(size_t strings, size_t bytes) {
    ends_.reserve(strings);
    text_.reserve(bytes);
  }

  // Fails when the table would pass 4 GiB.
  [[nodiscard]] Status Append(std::string_view text) {
    if (text.size() > std::numeric_limits<uint32_t>::max() - text_.size())
      return Fail(Code::kCorrupt, "a table of strings passes 4 GiB");
    text_.append(text);
    ends_.push_back(static_cast<uint32_t>(text_.size()));
    return {};
  }

  [[nodiscard]] size_t heap_bytes() const {
    return text_.capacity() + ends_.capacity() * sizeof(uint32_t);
  }

 private:
  std::string text_;
  std::vector<uint32_t> ends_;
};

}  // namespace mirage
