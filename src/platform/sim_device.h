// SPDX-License-Identifier: Apache-2.0
#pragma once

// SimDevice: a device that takes no time of ours and exactly the virtual time its costs say.
//
// Work put on a SimStream runs at once, in the call; when it would have ended is computed: after
// what is on the stream before it, after the events it waits for, after the virtual now. Events
// carry that time, so another stream or a link that waits for one starts no sooner, and a host that
// waits for one advances the clock. Submitting costs no virtual time: the host is far ahead of the
// device, as with a GPU.
//
// One thread at a time uses a clock's streams and links: the order of its calls is the order in
// which things happen.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "platform/device.h"
#include "platform/stream.h"

namespace mirage::platform {

// How long a piece of work takes: bound by arithmetic or by the memory it reads, whichever is
// slower.
struct SimCosts {
  double ops_per_second = 1e12;
  double memory_bytes_per_second = 1e11;
  int64_t launch_ns = 0;
  [[nodiscard]] int64_t WorkNs(double ops, double bytes) const;
};

// A directed path between tiers: moves one thing at a time, in the order asked.
class SimLink {
 public:
  SimLink(VirtualClock& clock, double bytes_per_second, int64_t latency_ns)
      : clock_(clock), bytes_per_second_(bytes_per_second), latency_ns_(latency_ns) {}

  struct Span {
    int64_t begin_ns = 0;
    int64_t end_ns = 0;
  };
  // Occupies the link from when it is free and `ready_ns` has come.
  [[nodiscard]] Span Move(uint64_t bytes, int64_t ready_ns);

  [[nodiscard]] VirtualClock& clock() const { return clock_; }
  [[nodiscard]] int64_t busy_ns() const { return busy_ns_; }

 private:
  VirtualClock& clock_;
  const double bytes_per_second_;
  const int64_t latency_ns_;
  int64_t free_at_ns_ = 0;
  int64_t busy_ns_ = 0;
};

class SimStream final : public Stream {
 public:
  SimStream(VirtualClock& clock, const SimCosts& costs) : clock_(clock), costs_(costs) {}

  // `work` may be empty. Skipped, and free, after a failure.
  void Run(int64_t cost_ns, const std::function<void()>& work);
  [[nodiscard]] const SimCosts& costs() const { return costs_; }

  void Record(const Event& event) override;
  void Wait(const Event& event) override;
  Status Synchronize() override;
  int64_t waited_ns() const override { return waited_ns_; }

 private:
  [[nodiscard]] int64_t ReadyNs() const;  // when work put on now would start

  VirtualClock& clock_;
  const SimCosts costs_;
  int64_t ready_ns_ = 0;
  int64_t waited_ns_ = 0;
  std::optional<Error> failure_;
};

struct SimOptions {
  std::string name = "sim";
  uint64_t chunk_bytes = uint64_t{2} << 20;  // a power of two, whole OS pages
  SimCosts costs;
  // Memory is real and holds what is written to it. Without, nothing may touch it: for models
  // larger than this machine.
  bool contents = true;
};

class SimDevice final : public Device {
 public:
  SimDevice(VirtualClock& clock, SimOptions options);

  const std::string& name() const override { return options_.name; }
  const Clock& clock() const override { return clock_; }
  uint64_t chunk_bytes() const override { return options_.chunk_bytes; }
  Result<std::byte*> ReserveAddresses(uint64_t bytes) override;
  void ReleaseAddresses(std::byte* base, uint64_t bytes) override;
  Status Back(std::byte* base, uint64_t bytes) override;
  void Unback(std::byte* base, uint64_t bytes) override;
  void Copy(std::byte* to, const std::byte* from, uint64_t bytes) override;
  // A SimStream.
  Result<std::unique_ptr<Stream>> CreateStream() override;

 private:
  VirtualClock& clock_;
  const SimOptions options_;
};

}  // namespace mirage::platform
