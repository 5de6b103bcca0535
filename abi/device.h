// SPDX-License-Identifier: Apache-2.0
#pragma once

// The names of devices that callers give.

#include "base/result.h"
#include "model/cpu_kernels.h"

namespace mirage::abi {

// What computes: "cpu", also for null, or "cpu:" and the name of an instruction set.
[[nodiscard]] Result<const kernels::Ops*> ReadDevice(const char* device);

}  // namespace mirage::abi
