// SPDX-License-Identifier: Apache-2.0

// The AVX-512 VNNI table over SIMDe, for machines that have AVX2 only.

#include "tests/kernels/simde/kernels_simde.h"

// First: it gives the intrinsics that the kernels name their meaning here.
#include "tests/kernels/simde/avx512_shim.h"

#include "kernels/cpu/make_table.h"
#include "kernels/cpu/simd_avx512.h"

namespace mirage::kernels {

constexpr CpuKernels kSimdeKernels = MakeTable<Avx512, Avx512Narrow, Avx512, Avx512>();

}  // namespace mirage::kernels
