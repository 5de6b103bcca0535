// SPDX-License-Identifier: Apache-2.0
#include "platform/sim_device.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "platform/host_memory.h"

namespace mirage::platform {
namespace {

int64_t NsAt(double amount, double per_second) {
  return static_cast<int64_t>(std::ceil(amount / per_second * 1e9));
}

}  // namespace

int64_t SimCosts::WorkNs(double ops, double bytes) const {
  return launch_ns + std::max(NsAt(ops, ops_per_second), NsAt(bytes, memory_bytes_per_second));
}

SimLink::Span SimLink::Move(uint64_t bytes, int64_t ready_ns) {
  Span span;
  span.begin_ns = std::max({free_at_ns_, ready_ns, clock_.NowNs()});
  span.end_ns = span.begin_ns + latency_ns_ + NsAt(static_cast<double>(bytes), bytes_per_second_);
  free_at_ns_ = span.end_ns;
  busy_ns_ += span.end_ns - span.begin_ns;
  return span;
}

int64_t SimStream::ReadyNs() const { return std::max(ready_ns_, clock_.NowNs()); }

void SimStream::Run(int64_t cost_ns, const std::function<void()>& work) {
  if (failure_) return;
  ready_ns_ = ReadyNs() + cost_ns;
  if (work) work();
}

void SimStream::Record(const Event& event) {
  event.SignalAt(clock_, ReadyNs(), failure_ ? Status(Fail(*failure_)) : Status());
}

void SimStream::Wait(const Event& event) {
  const int64_t ready = ReadyNs();
  const int64_t due = event.due_ns();
  if (due > ready) {
    waited_ns_ += due - ready;
    event.AddWaited(due - ready);
    ready_ns_ = due;
  }
  Status status = event.outcome();
  if (!status && !failure_) failure_ = std::move(status).error();
}

Status SimStream::Synchronize() {
  clock_.AdvanceTo(ready_ns_);
  if (!failure_) return {};
  return Fail(*std::exchange(failure_, std::nullopt));
}

SimDevice::SimDevice(VirtualClock& clock, SimOptions options)
    : clock_(clock), options_(std::move(options)) {}

Result<std::byte*> SimDevice::ReserveAddresses(uint64_t bytes) {
  return ReserveHostAddresses(bytes);
}

void SimDevice::ReleaseAddresses(std::byte* base, uint64_t bytes) {
  ReleaseHostAddresses(base, bytes);
}

Status SimDevice::Back(std::byte* base, uint64_t bytes) {
  if (!options_.contents) return {};
  return BackHostMemory(base, bytes);
}

void SimDevice::Unback(std::byte* base, uint64_t bytes) {
  if (options_.contents) UnbackHostMemory(base, bytes);
}

void SimDevice::Copy(std::byte* to, const std::byte* from, uint64_t bytes) {
  if (options_.contents) std::memcpy(to, from, bytes);
}

Result<std::unique_ptr<Stream>> SimDevice::CreateStream() {
  return std::make_unique<SimStream>(clock_, options_.costs);
}

}  // namespace mirage::platform
