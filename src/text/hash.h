// SPDX-License-Identifier: Apache-2.0
#pragma once

// Hashes for the flat tables of this room, and the open-addressing walk they share.
//
// A hostile vocabulary must not be able to choose colliding strings, so every table draws a random
// seed. The seed never shows: a table's answers do not depend on it.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

namespace mirage::text {

[[nodiscard]] inline uint64_t RandomSeed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

// Folds the 128-bit product of two numbers.
[[nodiscard]] inline uint64_t MixHash(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

[[nodiscard]] inline uint64_t HashBytes(uint64_t seed, std::string_view bytes) {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;
  uint64_t hash = seed ^ bytes.size() * kOdd;
  while (!bytes.empty()) {
    uint64_t word = 0;
    const size_t count = bytes.size() < 8 ? bytes.size() : 8;
    std::memcpy(&word, bytes.data(), count);
    hash = MixHash(hash ^ word, seed | 1) + kOdd;
    bytes.remove_prefix(count);
  }
  return MixHash(hash, kOdd);
}

[[nodiscard]] inline uint64_t HashPair(uint64_t seed, uint32_t a, uint32_t b) {
  return MixHash(seed ^ (uint64_t{a} << 32 | b), 0x9E3779B97F4A7C15 ^ seed);
}

// Open addressing over 32-bit values whose keys live elsewhere.
class HashSlots {
 public:
  static constexpr uint32_t kEmpty = 0xFFFFFFFF;

  // Room for `count` values at a load of at most 3/4.
  void Reserve(size_t count) { slots_.assign(std::bit_ceil(count + count / 3 + 1), kEmpty); }

  // The slot of the value for which matches(value), else the empty slot where it would go.
  template <typename Matches>
  [[nodiscard]] uint32_t& Find(uint64_t hash, Matches&& matches) {
    return slots_[Position(hash, matches)];
  }
  template <typename Matches>
  [[nodiscard]] uint32_t Find(uint64_t hash, Matches&& matches) const {
    return slots_.empty() ? kEmpty : slots_[Position(hash, matches)];
  }

  [[nodiscard]] size_t heap_bytes() const { return slots_.capacity() * sizeof(uint32_t); }

 private:
  template <typename Matches>
  [[nodiscard]] size_t Position(uint64_t hash, Matches& matches) const {
    size_t at = hash & (slots_.size() - 1);
    while (slots_[at] != kEmpty && !matches(slots_[at])) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  std::vector<uint32_t> slots_;
};

}  // namespace mirage::text
