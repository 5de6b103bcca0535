// SPDX-License-Identifier: Apache-2.0
#pragma once

// What control groups allow this process: the groups it is in, their ancestors, and the tightest
// limit among them.
//
// Version 1 and version 2 hierarchies, nested paths and container mounts are found through
// /proc/self/cgroup and /proc/self/mountinfo. `root` is a folder below which all these paths are
// looked up: empty for the machine, a fake tree in tests. Nothing is kept: limits change while a
// process runs, so callers ask again. Any thread.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mirage::platform {

// The folders of one hierarchy, from the process's own group up to the highest that is mounted.
struct CgroupChain {
  int version = 0;  // 1 or 2
  std::vector<std::string> folders;
};

// At most one chain per version. `controller` is a version 1 name, such as "memory" or "cpu".
[[nodiscard]] std::vector<CgroupChain> FindCgroups(std::string_view controller,
                                                   const std::string& root);

// The group that leaves least room.
struct CgroupMemory {
  std::string folder;
  uint64_t limit_bytes = 0;
  uint64_t others_bytes = 0;  // use in the group that cannot be reclaimed and is not ours
  [[nodiscard]] uint64_t room_bytes() const {
    return limit_bytes > others_bytes ? limit_bytes - others_bytes : 0;
  }
};

// `own_bytes`: anonymous memory that the library holds already and that counts as ours. Nothing
// when no group limits memory to less than `machine_bytes`.
[[nodiscard]] std::optional<CgroupMemory> FindCgroupMemory(uint64_t own_bytes,
                                                           uint64_t machine_bytes,
                                                           const std::string& root);

// Processors' worth of time that the tightest CPU quota allows, rounded up; nothing when there is
// no quota.
[[nodiscard]] std::optional<int> FindCgroupCpus(const std::string& root);

}  // namespace mirage::platform
