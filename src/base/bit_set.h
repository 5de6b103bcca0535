// SPDX-License-Identifier: Apache-2.0
#pragma once

// BitSet: a set of numbers below a size that is chosen when it is made.
//
// A value. Reading is safe from any thread while nobody writes.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mirage {

class BitSet {
 public:
  BitSet() = default;
  explicit BitSet(size_t size) : words_((size + 63) / 64), size_(size) {}

  [[nodiscard]] size_t size() const { return size_; }
  // What is not below size() is not in the set.
  [[nodiscard]] bool Has(size_t index) const {
    return index < size_ && ((words_[index / 64] >> (index % 64)) & 1) != 0;
  }
  [[nodiscard]] bool Any() const {
    return std::any_of(words_.begin(), words_.end(), [](uint64_t word) { return word != 0; });
  }

  // `index` is below size().
  void Add(size_t index) { words_[index / 64] |= uint64_t{1} << (index % 64); }
  void Remove(size_t index) { words_[index / 64] &= ~(uint64_t{1} << (index % 64)); }
  void Clear() { std::fill(words_.begin(), words_.end(), 0); }
  // `other` is no larger.
  void Add(const BitSet& other) {
    for (size_t i = 0; i < other.words_.size(); ++i) words_[i] |= other.words_[i];
  }

  // Bit i of word w is the number 64 w + i; bits from size() on are 0.
  [[nodiscard]] std::span<const uint64_t> words() const { return words_; }
  [[nodiscard]] size_t heap_bytes() const { return words_.capacity() * sizeof(uint64_t); }
  [[nodiscard]] bool operator==(const BitSet&) const = default;

 private:
  std::vector<uint64_t> words_;
  size_t size_ = 0;
};

}  // namespace mirage
