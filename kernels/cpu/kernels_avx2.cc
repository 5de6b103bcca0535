// SPDX-License-Identifier: Apache-2.0

#include "kernels/cpu/make_table.h"
#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/tables.h"

namespace mirage::kernels {

constexpr CpuKernels kAvx2Kernels = MakeTable<Avx2, Avx2, Avx2, Avx2>();

}  // namespace mirage::kernels
