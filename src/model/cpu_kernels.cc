// SPDX-License-Identifier: Apache-2.0
#include "model/cpu_kernels.h"

#include <string>

#include "kernels/cpu/cpu_ops.h"
#include "tensor/packed_rows.h"

namespace mirage::model {

const kernels::Ops& CpuKernels() { return kernels::CpuOps(); }

Result<const kernels::Ops*> FindCpuKernels(std::string_view name) {
  if (const kernels::Ops* ops = kernels::FindCpuOps(name)) return ops;
  std::string built;
  for (const std::string_view known : kernels::BuiltOpsNames()) {
    if (known == name)
      return Fail(Code::kUnsupported, "kernels '" + std::string(name) +
                                          "': this processor or system does not run them");
    built += (built.empty() ? "" : ", ") + std::string(known);
  }
  return Fail(Code::kUnsupported, "kernels '" + std::string(name) + "': this build has " + built);
}

KernelSpeed KernelSpeedOf(const format::TensorInfo& tensor) {
  if (tensor::HasFastKernel(tensor.dtype)) return KernelSpeed::kFast;
  return tensor::IsPackable(tensor.dtype) ? KernelSpeed::kSlow : KernelSpeed::kNone;
}

}  // namespace mirage::model
