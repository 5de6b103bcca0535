// SPDX-License-Identifier: Apache-2.0
#pragma once

// Checksum: XXH3 of bytes given piece by piece, against damage, not against an adversary
// (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md). One thread at a time.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace mirage::format {

class Checksum {
 public:
  Checksum();
  ~Checksum();
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;

  void Add(std::span<const std::byte> bytes);
  [[nodiscard]] uint64_t Value() const;
  [[nodiscard]] std::array<uint8_t, 16> Value128() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] uint64_t ChecksumOf(std::span<const std::byte> bytes);

}  // namespace mirage::format
