// SPDX-License-Identifier: Apache-2.0
#pragma once

// The CPU backend: one Ops table per instruction set, chosen at run time. Any thread.

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kernels/ops.h"

namespace mirage::kernels {

// The fastest table this machine can run.
[[nodiscard]] const Ops& CpuOps();

// The table of that name, such as "avx2". Fails with kUnsupported, naming those there are, where
// this build lacks it, and where this machine cannot run it.
[[nodiscard]] Result<const Ops*> FindCpuOps(std::string_view name);

// Every table this machine can run, slowest first; the last is CpuOps().
[[nodiscard]] std::span<const Ops* const> RunnableOps();

// The names of every table in this build, runnable here or not, in the same order.
[[nodiscard]] std::span<const std::string_view> BuiltOpsNames();

}  // namespace mirage::kernels
