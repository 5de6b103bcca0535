// SPDX-License-Identifier: Apache-2.0
#pragma once

// The two streams of the host: one runs work in the call, one on a thread of its own.

#include <memory>

#include "base/clock.h"
#include "platform/stream.h"

namespace mirage::platform {

// Work runs at once, on the calling thread and the pool. A pending event blocks the caller.
[[nodiscard]] std::unique_ptr<HostStream> MakeInlineStream(ThreadPool& pool, const Clock& clock);

// Work runs in order on the stream's own thread. Destroying the stream finishes what was put on it,
// so every event it waits for must come to be signalled.
[[nodiscard]] std::unique_ptr<HostStream> MakeQueuedStream(ThreadPool& pool, const Clock& clock);

}  // namespace mirage::platform
