// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kernels of the host's processor, for those who assemble a Host and need not know kernels/.

#include <string_view>

#include "base/result.h"
#include "format/model_file.h"
#include "kernels/ops.h"

namespace mirage::model {

// The kernels of "cpu": the fastest table this processor runs; or of "cpu:NAME": the one of that
// instruction set. Fails with kUnsupported for others and for one this processor cannot run.
[[nodiscard]] Result<const kernels::Ops*> KernelsOfDevice(std::string_view device);

// How this build computes with a tensor.
enum class KernelSpeed : uint8_t {
  kNone,  // not at all: a model with it does not load
  kSlow,  // correctly, without a fast kernel for its type
  kFast,
};
[[nodiscard]] KernelSpeed KernelSpeedOf(const format::TensorInfo& tensor);

}  // namespace mirage::model
