// SPDX-License-Identifier: Apache-2.0
#pragma once

// Philox4x32-10: a random number as a pure function of a key and a counter.
//
// Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011). Ten rounds
// of two 32x32 multiplications; passes BigCrush. Having no state is the point: the draw for a
// position is the same whichever step, batch or retry computes it.

#include <array>
#include <cstdint>

namespace mirage::sample {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

[[nodiscard]] constexpr PhiloxCounter Philox4x32(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;  // the golden ratio and sqrt(3) - 1, as the paper's Weyl sequence
    key[1] += 0xBB67AE85;
  }
  return counter;
}

}  // namespace mirage::sample
