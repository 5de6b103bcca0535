// SPDX-License-Identifier: Apache-2.0
#include "model/cpu_kernels.h"

#include <string>

#include "kernels/cpu/cpu_ops.h"
#include "tensor/packed_rows.h"

namespace mirage::model {

Result<const kernels::Ops*> KernelsOfDevice(std::string_view device) {
  constexpr std::string_view kCpu = "cpu";
  if (!device.starts_with(kCpu) || (device.size() > kCpu.size() && device[kCpu.size()] != ':'))
    return Fail(Code::kUnsupported,
                "device '" + std::string(device) + "': this build runs on 'cpu' only");
  if (device == kCpu) return &kernels::CpuOps();
  return kernels::FindCpuOps(device.substr(kCpu.size() + 1));
}

KernelSpeed KernelSpeedOf(const format::TensorInfo& tensor) {
  if (tensor::HasFastKernel(tensor.dtype)) return KernelSpeed::kFast;
  return tensor::IsPackable(tensor.dtype) ? KernelSpeed::kSlow : KernelSpeed::kNone;
}

}  // namespace mirage::model
