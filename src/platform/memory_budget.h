// SPDX-License-Identifier: Apache-2.0
#pragma once

// DetectMemoryBudget: how many bytes a runtime may use on this machine, and what says so.
//
// A limit the user gave, or a cgroup limit less what others in the group use, is used whole, less a
// guard for what no ledger counts (allocator slack, code, the kernel's tables). Only when neither
// binds, 80% of the memory the machine has available. Asked again while running, since groups and
// machines change. Any thread.

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace mirage::platform {

enum class BudgetSource : uint8_t {
  kGiven,      // the user's number
  kCgroup,     // a control group's limit
  kAvailable,  // the machine's available memory
};

struct MemoryBudget {
  uint64_t bytes = 0;         // what the library may use: the ledger's limit
  uint64_t limit_bytes = 0;   // what the source leaves before the guard or the share
  uint64_t guard_bytes = 0;   // limit_bytes less bytes
  uint64_t beside_bytes = 0;  // that the process may have besides, such as the cache of its files
  BudgetSource source = BudgetSource::kAvailable;
  std::string origin;  // for people: "--memory", a cgroup's folder, "available memory"
};

struct MemoryBudgetQuery {
  std::optional<uint64_t> given_bytes;
  uint64_t own_bytes = 0;  // anonymous memory the library holds already
  std::string root;        // of /proc and the cgroup mounts; for tests
};

// max(4 MiB, 2%)
[[nodiscard]] uint64_t MemoryGuardBytes(uint64_t limit_bytes);

// kIo when the kernel does not tell how much memory there is.
[[nodiscard]] Result<MemoryBudget> DetectMemoryBudget(const MemoryBudgetQuery& query);

}  // namespace mirage::platform
