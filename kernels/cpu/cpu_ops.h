// SPDX-License-Identifier: Apache-2.0
#pragma once

// The CPU backend: one Ops table per instruction set, chosen at run time. Any thread.

#include <span>
#include <string_view>

#include "kernels/ops.h"

namespace mirage::kernels {

// The fastest table this machine can run, of those that have run on a processor of their kind.
[[nodiscard]] const Ops& CpuOps();

// The table of this name, also one that CpuOps() never takes; nullptr where this build has none or
// the machine cannot run it. "amx" asks the system for tiles (platform::EnableAmx).
[[nodiscard]] const Ops* FindCpuOps(std::string_view name);

// Every table this machine can run, slowest first, for tests and measurements. Asks for tiles too.
[[nodiscard]] std::span<const Ops* const> RunnableOps();

// The names of every table in this build, runnable here or not, in the same order.
[[nodiscard]] std::span<const std::string_view> BuiltOpsNames();

}  // namespace mirage::kernels
