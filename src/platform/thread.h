// SPDX-License-Identifier: Apache-2.0
#pragma once

// StartThread: every thread the library makes.
//
// The thread has a name, seen in debuggers and `top -H`, and blocks the signals the application may
// handle, so that its handlers run on threads of its own. Signals a fault raises on the thread
// itself stay deliverable.

#include <functional>
#include <thread>

namespace mirage::platform {

// `name` has at most 15 bytes. `body` must not throw.
[[nodiscard]] std::thread StartThread(const char* name, std::function<void()> body);

}  // namespace mirage::platform
