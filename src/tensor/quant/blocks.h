// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which struct holds a block of which type: one line per supported type.

#include <type_traits>

#include "tensor/dtype.h"
#include "tensor/quant/iq4.h"
#include "tensor/quant/k_quants.h"
#include "tensor/quant/mxfp4.h"
#include "tensor/quant/plain.h"
#include "tensor/quant/q32.h"

namespace mirage::tensor {

// Calls visit(std::type_identity<Block>()) with the block struct of a supported type, and nothing
// for others.
template <typename Visitor>
void VisitBlock(DType dtype, Visitor&& visit) {
  // clang-format off
  switch (dtype) {
    case DType::kF32:    return visit(std::type_identity<BlockF32>());
    case DType::kF16:    return visit(std::type_identity<BlockF16>());
    case DType::kBF16:   return visit(std::type_identity<BlockBF16>());
    case DType::kQ4_0:   return visit(std::type_identity<BlockQ4_0>());
    case DType::kQ4_1:   return visit(std::type_identity<BlockQ4_1>());
    case DType::kQ5_0:   return visit(std::type_identity<BlockQ5_0>());
    case DType::kQ5_1:   return visit(std::type_identity<BlockQ5_1>());
    case DType::kQ8_0:   return visit(std::type_identity<BlockQ8_0>());
    case DType::kQ2_K:   return visit(std::type_identity<BlockQ2_K>());
    case DType::kQ3_K:   return visit(std::type_identity<BlockQ3_K>());
    case DType::kQ4_K:   return visit(std::type_identity<BlockQ4_K>());
    case DType::kQ5_K:   return visit(std::type_identity<BlockQ5_K>());
    case DType::kQ6_K:   return visit(std::type_identity<BlockQ6_K>());
    case DType::kIQ4_NL: return visit(std::type_identity<BlockIQ4_NL>());
    case DType::kIQ4_XS: return visit(std::type_identity<BlockIQ4_XS>());
    case DType::kMXFP4:  return visit(std::type_identity<BlockMXFP4>());
    default:             return;
  }
  // clang-format on
}

}  // namespace mirage::tensor
