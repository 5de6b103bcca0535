// SPDX-License-Identifier: Apache-2.0
#pragma once

// Cutting an op over rows or values into tasks, for ops that are no products.

#include <algorithm>
#include <cstdint>

#include "platform/thread_pool.h"

namespace mirage::kernels {

// A piece of work below this many values is done by the caller: waking the pool costs about as
// much.
inline constexpr int64_t kValuesPerTask = 8192;

// Calls body(begin, end) over [0, count) items of `values` values each, in as many tasks as are
// worth it.
template <typename Body>
void InParallel(platform::ThreadPool& pool, int64_t count, int64_t values, Body body) {
  const int64_t worth = count * values / kValuesPerTask;
  const int64_t most =
      std::min<int64_t>(count, int64_t{pool.threads()} * pool.cut().tasks_per_thread);
  const int64_t tasks = std::clamp<int64_t>(worth, 1, std::max<int64_t>(most, 1));
  pool.ParallelFor(tasks, [&](int64_t task, int /*thread*/) {
    body(task * count / tasks, (task + 1) * count / tasks);
  });
}

}  // namespace mirage::kernels
