// SPDX-License-Identifier: Apache-2.0
#include "sim/hardware.h"

namespace mirage::sim {

// The numbers of docs/hardware.md, which says where each comes from.
const std::vector<Hardware>& AllHardware() {
  static const std::vector<Hardware> all = {
      {"gh200", 96e9, 3728e9, 600e12, 378e9, 298e9, 10'000, 500'000},
      {"gb200", 186e9, 7200e9, 1500e12, 211e9, 193e9, 10'000, 500'000},
      {"gb300", 279e9, 7200e9, 1500e12, 211e9, 193e9, 10'000, 500'000},
      {"h200-pcie5", 141e9, 4490e9, 600e12, 55e9, 55e9, 10'000, 500'000},
      {"orin", 60e9, 174e9, 25e12, 3.5e9, 2.5e9, 100'000, 1'000'000},
      {"thor", 122e9, 232e9, 150e12, 7e9, 5e9, 100'000, 1'000'000},
  };
  return all;
}

Result<Hardware> FindHardware(std::string_view name) {
  std::string known;
  for (const Hardware& hardware : AllHardware()) {
    if (hardware.name == name) return hardware;
    known += (known.empty() ? "" : ", ") + hardware.name;
  }
  return Fail(Code::kInvalidArgument,
              "no hardware '" + std::string(name) + "' to simulate; there are " + known);
}

}  // namespace mirage::sim
