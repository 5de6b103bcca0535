// SPDX-License-Identifier: Apache-2.0
#include "abi/device.h"

#include <string>
#include <string_view>

namespace mirage::abi {

Result<const kernels::Ops*> ReadDevice(const char* device) {
  constexpr std::string_view kCpu = "cpu";
  const std::string_view name = device == nullptr ? kCpu : device;
  if (name == kCpu) return &model::CpuKernels();
  if (name.starts_with(kCpu) && name[kCpu.size()] == ':')
    return model::FindCpuKernels(name.substr(kCpu.size() + 1));
  return Fail(Code::kUnsupported,
              "device '" + std::string(name) + "': this build runs on 'cpu' and 'cpu:NAME' only");
}

}  // namespace mirage::abi
