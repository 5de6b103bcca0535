// SPDX-License-Identifier: Apache-2.0

#include "platform/fork.h"

#include <pthread.h>

#include <atomic>

namespace mirage::platform {
namespace {

std::atomic<uint64_t> generation{0};

void CountChild() { generation.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

uint64_t ForkGeneration() {
  // Fails for want of memory only, at load time in practice; then forks go unseen, as in most
  // libraries.
  static const int registered = pthread_atfork(nullptr, nullptr, CountChild);
  static_cast<void>(registered);
  return generation.load(std::memory_order_relaxed);
}

}  // namespace mirage::platform
