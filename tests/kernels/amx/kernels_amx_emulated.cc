// SPDX-License-Identifier: Apache-2.0

#include "tests/kernels/amx/kernels_amx_emulated.h"

// First: it gives the intrinsics that the kernels name their meaning here.
#include "tests/kernels/amx/tile_shim.h"

// The kernels, of those intrinsics.
#include "kernels/cpu/matmul_amx.h"
#include "kernels/cpu/tables.h"
#include "tests/kernels/simde/kernels_simde.h"

namespace mirage::kernels {
namespace {

#if defined(MIRAGE_SIMDE)
constexpr const CpuKernels& kRest = kSimdeKernels;
#else
constexpr const CpuKernels& kRest = kAvx512VnniKernels;
#endif

}  // namespace

MatMulGroups FindEmulatedAmxMatMulGroups(DType dtype) {
  return FindTileMatMulGroups<kRest, Avx512>(dtype);
}

const CpuKernels& EmulatedAmxRest() { return kRest; }

EmulatedTileUse GetEmulatedTileUse() {
  return {this_threads_tiles.configured(), this_threads_tiles.products()};
}

}  // namespace mirage::kernels
