// SPDX-License-Identifier: Apache-2.0
#pragma once

// QuantizeRow: floats into any supported type.
//
// The scale of a block of 32 is set by its extremes, those of the groups of a block of 256 by
// search (scale_search.h), and every code is the nearest. It writes what DequantizeRow reads.
// Stateless: any thread.

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace mirage::tensor {

// Encodes `n` finite elements, a whole number of blocks of a supported type. Scales are half floats
// in most types: elements past about 1e6 saturate them to infinity.
void QuantizeRow(DType dtype, const float* src, std::byte* dst, int64_t n);

}  // namespace mirage::tensor
