// SPDX-License-Identifier: Apache-2.0
#pragma once

// How many addresses this process may have, and how much memory the machine has for them.
//
// Neither needs /proc, except for how much of a limit is in use. Any thread.

#include <cstdint>
#include <optional>

namespace mirage::platform {

struct AddressLimit {
  uint64_t limit_bytes = 0;
  uint64_t left_bytes = 0;  // the limit where the kernel does not tell what is in use
};

// The limit on the process's address space (RLIMIT_AS, `ulimit -v`); nothing when there is none.
[[nodiscard]] std::optional<AddressLimit> ReadAddressLimit();

// Physical memory, used or not.
[[nodiscard]] uint64_t MachineMemoryBytes();

}  // namespace mirage::platform
