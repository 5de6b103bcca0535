// SPDX-License-Identifier: Apache-2.0
#pragma once

// Host addresses and the memory behind them, for the devices that compute on the host.
//
// Unbacked addresses fault when touched, so a use of bytes that were lent shows at once. Any
// thread, on ranges that do not overlap; all ranges are whole OS pages.

#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace mirage::platform {

// What will back them is spread over the nodes of a NUMA machine (platform/numa.h).
[[nodiscard]] Result<std::byte*> ReserveHostAddresses(uint64_t bytes);
void ReleaseHostAddresses(std::byte* base, uint64_t bytes);

// Zeroed memory, present when this returns. kOutOfMemory when the system refuses.
[[nodiscard]] Status BackHostMemory(std::byte* base, uint64_t bytes);
void UnbackHostMemory(std::byte* base, uint64_t bytes);

}  // namespace mirage::platform
