// SPDX-License-Identifier: Apache-2.0

#include "kernels/cpu/make_table.h"
#include "kernels/cpu/simd_generic.h"
#include "kernels/cpu/tables.h"

namespace mirage::kernels {

constexpr CpuKernels kGenericKernels = MakeTable<Generic, Generic, Generic, Generic>();

}  // namespace mirage::kernels
