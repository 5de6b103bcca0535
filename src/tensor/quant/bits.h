// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where a small code lies in the bytes of a block, and how it is read and written there.

#include <cstdint>

namespace mirage::tensor {

struct BitPlace {
  int byte;
  int shift;
};

[[nodiscard]] constexpr int GetBits(const uint8_t* bytes, BitPlace place, int mask) {
  return (bytes[place.byte] >> place.shift) & mask;
}

// The bits were zero.
constexpr void PutBits(uint8_t* bytes, BitPlace place, int code) {
  bytes[place.byte] = static_cast<uint8_t>(bytes[place.byte] | code << place.shift);
}

// A run of 32 nibbles in 16 bytes: the low ones are elements 0 to 15, the high ones 16 to 31.
[[nodiscard]] constexpr BitPlace NibblePlace(int i) { return {i % 16, i / 16 * 4}; }

}  // namespace mirage::tensor
