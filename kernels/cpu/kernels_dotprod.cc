// SPDX-License-Identifier: Apache-2.0

#include "kernels/cpu/make_table.h"
#include "kernels/cpu/simd_neon.h"
#include "kernels/cpu/tables.h"

namespace mirage::kernels {

constexpr CpuKernels kDotprodKernels =
    MakeTable<NeonDotprod, NeonDotprod, NeonDotprod, NeonDotprod>();

}  // namespace mirage::kernels
