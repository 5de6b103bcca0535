// SPDX-License-Identifier: Apache-2.0
#pragma once

// The tables this build has. Which of them the machine can run is kernels/cpu/dispatch.cc's matter.

#include "kernels/cpu/kernels.h"

namespace mirage::kernels {

extern const CpuKernels kGenericKernels;  // any processor
#if defined(__x86_64__)
extern const CpuKernels kAvx2Kernels;        // AVX2, FMA, F16C
extern const CpuKernels kAvx512VnniKernels;  // AVX-512 F, BW, VL, VNNI
extern const CpuKernels kAmxKernels;         // with AMX-TILE and AMX-INT8 as well
MatMulGroups FindAmxMatMulGroups(DType dtype);
#elif defined(__aarch64__)
extern const CpuKernels kNeonKernels;     // Armv8.0
extern const CpuKernels kDotprodKernels;  // with FEAT_DotProd
extern const CpuKernels kI8mmKernels;     // with FEAT_I8MM as well
#endif

}  // namespace mirage::kernels
