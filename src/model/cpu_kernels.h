// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kernels of the host's processor, for those who assemble a Host and need not know kernels/.

#include <string_view>

#include "base/result.h"
#include "format/model_file.h"
#include "kernels/ops.h"

namespace mirage::model {

// The fastest table this processor runs.
[[nodiscard]] const kernels::Ops& CpuKernels();

// That of the instruction set `name`; kUnsupported where this build has none of that name or the
// processor, or the system, does not run it.
[[nodiscard]] Result<const kernels::Ops*> FindCpuKernels(std::string_view name);

// How this build computes with a tensor.
enum class KernelSpeed : uint8_t {
  kNone,  // not at all: a model with it does not load
  kSlow,  // correctly, without a fast kernel for its type
  kFast,
};
[[nodiscard]] KernelSpeed KernelSpeedOf(const format::TensorInfo& tensor);

}  // namespace mirage::model
