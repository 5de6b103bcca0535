// SPDX-License-Identifier: Apache-2.0
#pragma once

// ForkGeneration: tells a process from the one it was forked from.
//
// Threads and the locks they hold do not survive fork(), so objects made before it are unusable in
// the child. They remember the generation they were made in and compare. Any thread; costs one
// load.

#include <cstdint>

namespace mirage::platform {

[[nodiscard]] uint64_t ForkGeneration();

}  // namespace mirage::platform
