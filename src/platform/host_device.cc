// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <utility>

#include "base/checked.h"
#include "platform/device.h"
#include "platform/host_stream.h"
#include "platform/os_error.h"

namespace mirage::platform {
namespace {

constexpr uint64_t kChunkBytes = uint64_t{64} << 10;
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

class HostDevice final : public Device {
 public:
  HostDevice(ThreadPool& pool, const Clock& clock, HostStreams streams)
      : pool_(pool), clock_(clock), streams_(streams) {}

  const std::string& name() const override { return name_; }
  const Clock& clock() const override { return clock_; }
  uint64_t chunk_bytes() const override { return kChunkBytes; }

  Result<std::byte*> ReserveAddresses(uint64_t bytes) override {
    void* base =
        mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
      return Fail(
          OsError("host: reserving " + std::to_string(bytes) + " bytes of addresses", errno));
    madvise(base, bytes, MADV_NOHUGEPAGE);  // refused where the kernel has none: as wished
    return static_cast<std::byte*>(base);
  }

  void ReleaseAddresses(std::byte* base, uint64_t bytes) override { munmap(base, bytes); }

  Status Back(std::byte* base, uint64_t bytes) override {
    if (mprotect(base, bytes, PROT_READ | PROT_WRITE) != 0) return Refused(bytes, errno);
    PreferHugePages(base, bytes);
    if (Populate(base, bytes)) return {};
    const int error = errno;
    Unback(base, bytes);
    return Refused(bytes, error);
  }

  void Unback(std::byte* base, uint64_t bytes) override {
    madvise(base, bytes, MADV_DONTNEED);
    // A use of bytes that were lent faults instead of bringing them back unseen.
    mprotect(base, bytes, PROT_NONE);
  }

  Result<std::unique_ptr<Stream>> CreateStream() override {
    if (streams_ == HostStreams::kInline) return MakeInlineStream(pool_, clock_);
    return MakeQueuedStream(pool_, clock_);
  }

 private:
  static tl::unexpected<Error> Refused(uint64_t bytes, int error) {
    return OutOfMemory(
        "host: the system refuses " + std::to_string(bytes) + " bytes: " + OsMessage(error), bytes,
        0);
  }

  ThreadPool& pool_;
  const Clock& clock_;
  const HostStreams streams_;
  const std::string name_ = "host";
};

}  // namespace

std::unique_ptr<Device> MakeHostDevice(ThreadPool& pool, const Clock& clock, HostStreams streams) {
  return std::make_unique<HostDevice>(pool, clock, streams);
}

}  // namespace mirage::platform
