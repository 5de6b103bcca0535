// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kernels of the host's processor, for those who assemble a Host and need not know kernels/.

#include "format/model_file.h"
#include "kernels/ops.h"

namespace mirage::model {

// The fastest table this processor runs.
[[nodiscard]] const kernels::Ops& CpuKernels();

// How this build computes with a tensor.
enum class KernelSpeed : uint8_t {
  kNone,  // not at all: a model with it does not load
  kSlow,  // correctly, without a fast kernel for its type
  kFast,
};
[[nodiscard]] KernelSpeed KernelSpeedOf(const format::TensorInfo& tensor);

}  // namespace mirage::model
