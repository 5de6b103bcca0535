// SPDX-License-Identifier: Apache-2.0
#pragma once

// Hardware: what the simulator knows of a machine. docs/hardware.md has the sources.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage::sim {

struct Hardware {
  std::string name;
  double fast_bytes = 0;                 // HBM, or the memory that weights and KV share
  double fast_bytes_per_second = 0;      // sustained reads of it
  double ops_per_second = 0;             // sustained, of products of many tokens; 2 a multiply-add
  double link_in_bytes_per_second = 0;   // from the slower tier
  double link_out_bytes_per_second = 0;  // to it
  int64_t link_latency_ns = 0;           // of a transfer
  int64_t pass_ns = 0;                   // of a pass, beside its work: launching, sampling
};

[[nodiscard]] const std::vector<Hardware>& AllHardware();
// kInvalidArgument with the names there are.
[[nodiscard]] Result<Hardware> FindHardware(std::string_view name);

}  // namespace mirage::sim
