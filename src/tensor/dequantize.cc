// SPDX-License-Identifier: Apache-2.0

#include "tensor/dequantize.h"

#include <cassert>
#include <cstring>

#include "tensor/quant/blocks.h"

namespace mirage::tensor {
namespace {

template <typename Block>
void DecodeRow(const std::byte* src, float* dst, int64_t n) {
  assert(n % Block::kElements == 0);
  for (int64_t i = 0; i < n; i += Block::kElements, src += sizeof(Block)) {
    Block block;
    std::memcpy(&block, src, sizeof(block));
    Decode(block, dst + i);
  }
}

}  // namespace

void DequantizeRow(DType dtype, const std::byte* src, float* dst, int64_t n) {
  assert(Info(dtype).supported);
  VisitBlock(dtype,
             [&]<typename Block>(std::type_identity<Block>) { DecodeRow<Block>(src, dst, n); });
}

}  // namespace mirage::tensor
