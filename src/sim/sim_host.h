// SPDX-License-Identifier: Apache-2.0
#pragma once

// SimHost: a simulated machine with its memory, its link and its clock.

#include "memory/arena.h"
#include "memory/ledger.h"
#include "memory/sim_transfer.h"
#include "platform/sim_device.h"
#include "sim/hardware.h"

namespace mirage::sim {

struct SimHost {
  // `limit` in bytes of fast memory.
  SimHost(const Hardware& machine, uint64_t limit)
      : hardware(machine),
        ledger(limit),
        device(clock, OptionsOf(machine)),
        arena(device, ledger),
        link_in(clock, machine.link_in_bytes_per_second, machine.link_latency_ns),
        transfer(link_in) {}

  const Hardware hardware;
  VirtualClock clock;
  memory::Ledger ledger;
  platform::SimDevice device;
  memory::Arena arena;
  platform::SimLink link_in;
  memory::SimTransferEngine transfer;

 private:
  static platform::SimOptions OptionsOf(const Hardware& machine) {
    platform::SimOptions options;
    options.name = machine.name;
    options.costs = {machine.ops_per_second, machine.fast_bytes_per_second, 0};
    options.contents = false;
    return options;
  }
};

}  // namespace mirage::sim
