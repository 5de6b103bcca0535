// SPDX-License-Identifier: Apache-2.0
#include "platform/address_space.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "platform/text_file.h"

namespace mirage::platform {

std::optional<AddressLimit> ReadAddressLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  const uint64_t bytes = limit.rlim_cur;
  const uint64_t pages = ParseNumber(ReadText("/proc/self/statm").value_or("")).value_or(0);
  const uint64_t used = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return AddressLimit{bytes, bytes - std::min(bytes, used)};
}

uint64_t MachineMemoryBytes() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  return pages > 0 && page_bytes > 0
             ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes)
             : 0;
}

}  // namespace mirage::platform
