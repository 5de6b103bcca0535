// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <string>

#include "platform/device.h"
#include "platform/host_memory.h"
#include "platform/host_stream.h"
#include "platform/thread_pool.h"

namespace mirage::platform {
namespace {

constexpr uint64_t kChunkBytes = uint64_t{64} << 10;

class HostDevice final : public Device {
 public:
  HostDevice(ThreadPool& pool, const Clock& clock, HostStreams streams, PassThreads threads)
      : pool_(pool), clock_(clock), streams_(streams), threads_(threads) {
    for (int* const count : {&threads_.decode, &threads_.prefill})
      if (*count == 0) *count = pool.threads();
  }

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
  void BeginPass(int64_t tokens) override {
    pool_.Use(tokens <= kDecodeTokens ? threads_.decode : threads_.prefill);
  }

 private:
  ThreadPool& pool_;
  const Clock& clock_;
  const HostStreams streams_;
  PassThreads threads_;
  const std::string name_ = "host";
};

}  // namespace

std::unique_ptr<Device> MakeHostDevice(ThreadPool& pool, const Clock& clock, HostStreams streams,
                                       PassThreads threads) {
  return std::make_unique<HostDevice>(pool, clock, streams, threads);
}

}  // namespace mirage::platform
