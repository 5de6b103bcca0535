// SPDX-License-Identifier: Apache-2.0
#pragma once

// The meaning of every supported type, in plain loops.
//
// Kernels are tested against it; single rows of an embedding table are read with it. Stateless: any
// thread.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "tensor/dtype.h"

namespace mirage::tensor {

// The offset of the first block with a scale or a value that is no finite number, which makes its
// elements none; nothing where there is none. `blocks` holds whole blocks of a supported type.
[[nodiscard]] std::optional<uint64_t> FindNonFinite(DType dtype, std::span<const std::byte> blocks);

// Decodes `n` elements, a whole number of blocks of a supported type. `src` needs no alignment.
void DequantizeRow(DType dtype, const std::byte* src, float* dst, int64_t n);

}  // namespace mirage::tensor
