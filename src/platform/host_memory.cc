// SPDX-License-Identifier: Apache-2.0
#include "platform/host_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "base/checked.h"
#include "platform/address_space.h"
#include "platform/numa.h"
#include "platform/os_error.h"

namespace mirage::platform {
namespace {

constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;

// Touches every OS page, so that memory the system does not have shows here and not in a kernel.
bool Populate(std::byte* base, uint64_t bytes) {
#ifdef MADV_POPULATE_WRITE
  for (;;) {
    if (madvise(base, bytes, MADV_POPULATE_WRITE) == 0) return true;
    if (errno == EINTR || errno == EAGAIN) continue;
    if (errno != EINVAL) return false;
    break;  // before Linux 5.14
  }
#endif
  constexpr uint64_t kLeastPageBytes = 4096;
  for (uint64_t at = 0; at < bytes; at += kLeastPageBytes)
    *reinterpret_cast<volatile char*>(base + at) = 0;
  return true;
}

// Huge pages only inside one backing: a huge page that two of them shared would keep its memory
// when one left.
void PreferHugePages(std::byte* base, uint64_t bytes) {
  const auto first = reinterpret_cast<uintptr_t>(base);
  const uint64_t begin = RoundUp(first, kHugePageBytes);
  const uint64_t end = (first + bytes) & ~(kHugePageBytes - 1);
  if (begin < end) madvise(base + (begin - first), end - begin, MADV_HUGEPAGE);
}

// The numbers of an error are of the limit that a ledger keeps, which has nothing to do with this.
tl::unexpected<Error> Refused(uint64_t bytes, int error) {
  return OutOfMemory("the system refuses " + std::to_string(bytes) + " bytes: " + OsMessage(error),
                     0, 0);
}

}  // namespace

Result<std::byte*> ReserveHostAddresses(uint64_t bytes) {
  void* const base =
      mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    const int error = errno;
    const std::string what = "reserving " + std::to_string(bytes) + " bytes of addresses";
    const std::optional<AddressLimit> limit = ReadAddressLimit();
    if (error != ENOMEM || !limit) return Fail(OsError(what, error));
    return OutOfMemory(what + ": the process may have " + std::to_string(limit->limit_bytes) +
                           " (ulimit -v) and has " + std::to_string(limit->left_bytes) + " left",
                       0, 0);
  }
  static const std::vector<int> kNodes = NodesToInterleave();
  if (kNodes.size() > 1) InterleavePages(static_cast<std::byte*>(base), bytes, kNodes);
  madvise(base, bytes, MADV_NOHUGEPAGE);  // refused where the kernel has none: as wished
  return static_cast<std::byte*>(base);
}

void ReleaseHostAddresses(std::byte* base, uint64_t bytes) { munmap(base, bytes); }

Status BackHostMemory(std::byte* base, uint64_t bytes) {
  if (mprotect(base, bytes, PROT_READ | PROT_WRITE) != 0) return Refused(bytes, errno);
  PreferHugePages(base, bytes);
  if (Populate(base, bytes)) return {};
  const int error = errno;
  UnbackHostMemory(base, bytes);
  return Refused(bytes, error);
}

void UnbackHostMemory(std::byte* base, uint64_t bytes) {
  madvise(base, bytes, MADV_DONTNEED);
  mprotect(base, bytes, PROT_NONE);
}

}  // namespace mirage::platform
