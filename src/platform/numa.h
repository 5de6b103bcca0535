// SPDX-License-Identifier: Apache-2.0
#pragma once

// Nodes of memory, where some of it is nearer to some processors.
//
// Every thread of the pool reads all weights and all keys and values, whichever task it happens to
// be given. Left to the system they would lie on the node of the thread that touched them first,
// and all would wait for that one memory: page by page over the nodes of the processors that
// compute, each gives its part of the bandwidth. Any thread.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mirage::platform {

// The nodes that have processors and memory which the calling thread may use. Fewer than two:
// there is nothing to spread. `root`: as for control groups (platform/cgroup.h).
[[nodiscard]] std::vector<int> NodesToInterleave(const std::string& root = "");

// Pages of this range that are backed from now on lie on these nodes in turn, for as long as the
// addresses are reserved, whoever touches them. Changes nothing where the system refuses, as
// containers may, and gives false.
bool InterleavePages(std::byte* base, uint64_t bytes, std::span<const int> nodes);

}  // namespace mirage::platform
