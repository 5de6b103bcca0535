// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/cpu/kernels.h"

namespace mirage::kernels {

extern const CpuKernels kSimdeKernels;  // needs AVX2, FMA and F16C

}  // namespace mirage::kernels
