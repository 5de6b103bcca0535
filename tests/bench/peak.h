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

// What is multiplied: bytes of which the weights are unsigned or signed (which AVX2 multiplies in
// twice as many instructions), or float32.
enum class Product { kUnsigned, kSigned, kFloat };

// Multiply-adds a second of the pool's threads in registers, with the instructions that the named
// kernel table uses. 0 where no such loop is written.
[[nodiscard]] double MultiplyAddPeak(platform::ThreadPool& pool, std::string_view table,
                                     Product product);

}  // namespace mirage::bench
