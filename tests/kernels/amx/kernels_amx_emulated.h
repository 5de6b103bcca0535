// SPDX-License-Identifier: Apache-2.0
#pragma once

// The AMX matmul with tiles emulated, and what is AVX-512 of it over SIMDe where that is there.

#include "kernels/cpu/kernels.h"

namespace mirage::kernels {

// As tables.h has it of AMX. Needs what EmulatedAmxRest() needs.
MatMulGroups FindEmulatedAmxMatMulGroups(DType dtype);

// The table that has all else.
const CpuKernels& EmulatedAmxRest();

// Of the calling thread.
struct EmulatedTileUse {
  bool configured;   // now
  int64_t products;  // since the thread began
};
EmulatedTileUse GetEmulatedTileUse();

}  // namespace mirage::kernels
