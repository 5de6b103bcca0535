// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the machine can do at most, measured in the same process as the kernels that are compared
// with it.

#include <cstdint>
#include <string_view>

#include "platform/thread_pool.h"

namespace mirage::bench {

// Bytes a second that all threads of the pool read from memory larger than the caches.
[[nodiscard]] double ReadBandwidth(platform::ThreadPool& pool);

// Multiply-adds a second of the pool's threads in registers: of 8-bit integers with the
// instructions that the named kernel table uses, and of floats. 0 where no such loop is written.
[[nodiscard]] double IntegerPeak(platform::ThreadPool& pool, std::string_view table);
[[nodiscard]] double FloatPeak(platform::ThreadPool& pool, std::string_view table);

}  // namespace mirage::bench
