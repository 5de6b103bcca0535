// SPDX-License-Identifier: Apache-2.0
#pragma once

// DequantizeRow: the meaning of every supported type, in plain loops.
//
// Kernels are tested against it; single rows of an embedding table are read with it. Stateless: any
// thread.

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace mirage::tensor {

// Decodes `n` elements, a whole number of blocks of a supported type. `src` needs no alignment.
void DequantizeRow(DType dtype, const std::byte* src, float* dst, int64_t n);

}  // namespace mirage::tensor
