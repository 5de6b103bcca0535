// SPDX-License-Identifier: Apache-2.0
#pragma once

// SimTransferEngine: transfers that take a simulated link's time.
//
// The job itself runs at once, in Submit, so that its bytes are there; whoever waits for the event
// sees them from the virtual time on at which the link would have delivered them. The simulator's
// thread only.

#include "memory/transfer.h"
#include "platform/sim_device.h"

namespace mirage::memory {

class SimTransferEngine final : public TransferEngine {
 public:
  // Engines of several models may share a link.
  explicit SimTransferEngine(platform::SimLink& link) : link_(link) {}

  using TransferEngine::Submit;
  platform::Event Submit(std::function<Status()> job, uint64_t bytes,
                         std::vector<platform::Event> after) override;
  bool overlaps_compute() const override { return true; }
  Totals totals() const override { return totals_; }

 private:
  platform::SimLink& link_;
  Totals totals_;  // a link moves one after the other
};

}  // namespace mirage::memory
