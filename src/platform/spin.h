// SPDX-License-Identifier: Apache-2.0
#pragma once

// Waiting that expects to be over within microseconds.

#include <chrono>
#include <cstdint>

namespace mirage::platform {

// Tells the processor that this is a spin loop.
inline void SpinPause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

// Spins until `ready()` or until `limit` has passed; whether it became ready.
template <typename Ready>
[[nodiscard]] bool SpinUntil(std::chrono::nanoseconds limit, Ready&& ready) {
  constexpr int kLooksPerClockRead = 32;
  if (ready()) return true;
  if (limit.count() == 0) return false;
  const auto end = std::chrono::steady_clock::now() + limit;
  do {
    for (int look = 0; look < kLooksPerClockRead; ++look) {
      SpinPause();
      if (ready()) return true;
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace mirage::platform
