// SPDX-License-Identifier: Apache-2.0

#include "kernels/cpu/make_table.h"
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/tables.h"

namespace mirage::kernels {

constexpr CpuKernels kAvx512VnniKernels = MakeTable<Avx512, Avx512Narrow, Avx512, Avx512>();

}  // namespace mirage::kernels
