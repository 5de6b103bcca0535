// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <string>

#include "platform/device.h"
#include "platform/host_memory.h"
#include "platform/host_stream.h"

namespace mirage::platform {
namespace {

constexpr uint64_t kChunkBytes = uint64_t{64} << 10;

class HostDevice final : public Device {
 public:
  HostDevice(ThreadPool& pool, const Clock& clock, HostStreams streams)
      : pool_(pool), clock_(clock), streams_(streams) {}

  const std::string& name() const override { return name_; }
  const Clock& clock() const override { return clock_; }
  uint64_t chunk_bytes() const override { return kChunkBytes; }

  Result<std::byte*> ReserveAddresses(uint64_t bytes) override {
    return ReserveHostAddresses(bytes);
  }
  void ReleaseAddresses(std::byte* base, uint64_t bytes) override {
    ReleaseHostAddresses(base, bytes);
  }
  Status Back(std::byte* base, uint64_t bytes) override { return BackHostMemory(base, bytes); }
  void Unback(std::byte* base, uint64_t bytes) override { UnbackHostMemory(base, bytes); }
  void Copy(std::byte* to, const std::byte* from, uint64_t bytes) override {
    std::memcpy(to, from, bytes);
  }

  Result<std::unique_ptr<Stream>> CreateStream() override {
    if (streams_ == HostStreams::kInline) return MakeInlineStream(pool_, clock_);
    return MakeQueuedStream(pool_, clock_);
  }

 private:
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
