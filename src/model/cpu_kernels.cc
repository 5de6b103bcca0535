// SPDX-License-Identifier: Apache-2.0
#include "model/cpu_kernels.h"

#include "kernels/cpu/cpu_ops.h"
#include "tensor/packed_rows.h"

namespace mirage::model {

const kernels::Ops& CpuKernels() { return kernels::CpuOps(); }

KernelSpeed KernelSpeedOf(const format::TensorInfo& tensor) {
  if (tensor::HasFastKernel(tensor.dtype)) return KernelSpeed::kFast;
  return tensor::IsPackable(tensor.dtype) ? KernelSpeed::kSlow : KernelSpeed::kNone;
}

}  // namespace mirage::model
