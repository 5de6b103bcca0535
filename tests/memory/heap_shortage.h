// SPDX-License-Identifier: Apache-2.0
#pragma once

// WithShortage: work whose thread runs out of heap at a chosen allocation. Replaces operator new,
// so that one source of a program of its own includes it.

#include <cstddef>
#include <cstdlib>
#include <new>

namespace mirage::memory {

// Allocations of this thread until one fails; below 0 none does.
inline thread_local int allocations_left = -1;

}  // namespace mirage::memory

// Not inlined: gcc would see free() on what its own operator new returned and warn.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  int& left = mirage::memory::allocations_left;
  if (left >= 0 && left-- == 0) throw std::bad_alloc();
  if (void* const memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace mirage::memory {

// Runs `work` with the allocation after `count` others failing; whether it went through.
template <typename Work>
bool WithShortage(int count, Work&& work) {
  allocations_left = count;
  try {
    work();
  } catch (const std::bad_alloc&) {
    allocations_left = -1;
    return false;
  }
  allocations_left = -1;
  return true;
}

}  // namespace mirage::memory
