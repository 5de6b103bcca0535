// SPDX-License-Identifier: Apache-2.0

#include "kernels/cpu/make_table.h"
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/tables.h"

namespace mirage::kernels {

constexpr CpuKernels kAvx512VnniKernels = MakeTable<Avx512, Avx512Narrow, Avx512, Avx512>();

// AMX has nothing but products of many tokens. Here, since a table that is made when the library is
// loaded would be made on every machine.
constexpr CpuKernels kAmxKernels = WithTiles(kAvx512VnniKernels, FindAmxMatMulGroups);

}  // namespace mirage::kernels
