// SPDX-License-Identifier: Apache-2.0

#include "kernels/cpu/matmul_amx.h"
#include "kernels/cpu/tables.h"

namespace mirage::kernels {

MatMulGroups FindAmxMatMulGroups(DType dtype) {
  return FindTileMatMulGroups<kAvx512VnniKernels, Avx512>(dtype);
}

}  // namespace mirage::kernels
