// SPDX-License-Identifier: Apache-2.0
#pragma once

// Device: a place that computes and the memory it computes from.
//
// Addresses are reserved once and backed in chunks; streams order the work. The host is a device; a
// GPU plugin and the simulator are others. Any thread.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "platform/stream.h"

namespace mirage::platform {

class Device {
 public:
  virtual ~Device() = default;

  [[nodiscard]] virtual const std::string& name() const = 0;
  [[nodiscard]] virtual const Clock& clock() const = 0;

  // Granularity of Back and Unback, a power of two.
  [[nodiscard]] virtual uint64_t chunk_bytes() const = 0;
  // `bytes` is a multiple of chunk_bytes. Nothing is backed.
  [[nodiscard]] virtual Result<std::byte*> ReserveAddresses(uint64_t bytes) = 0;
  virtual void ReleaseAddresses(std::byte* base, uint64_t bytes) = 0;
  // Whole chunks of a reservation. Contents of freshly backed memory are zero or unspecified.
  [[nodiscard]] virtual Status Back(std::byte* base, uint64_t bytes) = 0;
  virtual void Unback(std::byte* base, uint64_t bytes) = 0;
  // From backed memory to other backed memory of the device; done when it returns.
  virtual void Copy(std::byte* to, const std::byte* from, uint64_t bytes) = 0;

  [[nodiscard]] virtual Result<std::unique_ptr<Stream>> CreateStream() = 0;
  // What is put on streams from now on is a pass over a model's weights for so many tokens. Not
  // while one runs.
  virtual void BeginPass(int64_t /*tokens*/) {}
};

enum class HostStreams {
  kInline,  // work runs in the call
  kQueued,  // work runs on the stream's own thread: for tests, behaves as a GPU does
};

// A pass over at most so many tokens waits for the weights to come from memory more than for the
// arithmetic: up to here a token more costs next to nothing (docs/performance.md).
inline constexpr int64_t kDecodeTokens = 4;

// How many threads of a pool take part in passes over at most kDecodeTokens, and over more; 0: all.
struct PassThreads {
  int decode = 0;
  int prefill = 0;
};

// The host as a device; streams share `pool`, which outlives it.
[[nodiscard]] std::unique_ptr<Device> MakeHostDevice(ThreadPool& pool, const Clock& clock,
                                                     HostStreams streams, PassThreads threads = {});

}  // namespace mirage::platform
