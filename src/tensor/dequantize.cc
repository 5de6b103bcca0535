// SPDX-License-Identifier: Apache-2.0

#include "tensor/dequantize.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
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

// The exponent bits of the numbers in eight bytes, where a block is a number; 0: it is more.
template <typename Block>
constexpr uint64_t kExponents = 0;
template <>
constexpr uint64_t kExponents<BlockF32> = 0x7F8000007F800000;
template <>
constexpr uint64_t kExponents<BlockF16> = 0x7C007C007C007C00;
template <>
constexpr uint64_t kExponents<BlockBF16> = 0x7F807F807F807F80;

template <typename Block>
bool AllFinite(std::span<const std::byte> blocks) {
  bool finite = true;
  size_t at = 0;
  if constexpr (constexpr uint64_t kMask = kExponents<Block>; kMask != 0) {
    // One added to an exponent of all ones, and to no other, ends up where the sign was.
    constexpr uint64_t kOnes = kMask & ~(kMask << 1);
    constexpr uint64_t kSigns = (kMask << 1) & ~kMask;
    uint64_t sums = 0;
    for (; at + sizeof(uint64_t) <= blocks.size(); at += sizeof(uint64_t)) {
      uint64_t word;
      std::memcpy(&word, blocks.data() + at, sizeof(word));
      sums |= (word & kMask) + kOnes;
    }
    finite = (sums & kSigns) == 0;
  }
  for (; at < blocks.size(); at += sizeof(Block)) {
    Block block;
    std::memcpy(&block, blocks.data() + at, sizeof(block));
    finite &= Finite(block);
  }
  return finite;
}

// Stretch by stretch without a branch per block, then the one block in its stretch.
template <typename Block>
std::optional<uint64_t> FindNonFiniteBlock(std::span<const std::byte> blocks) {
  constexpr size_t kStretch = 256 * sizeof(Block);
  for (size_t begin = 0; begin < blocks.size(); begin += kStretch) {
    const size_t end = std::min(begin + kStretch, blocks.size());
    if (AllFinite<Block>(blocks.subspan(begin, end - begin))) continue;
    for (size_t at = begin; at < end; at += sizeof(Block))
      if (!AllFinite<Block>(blocks.subspan(at, sizeof(Block)))) return at;
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint64_t> FindNonFinite(DType dtype, std::span<const std::byte> blocks) {
  std::optional<uint64_t> found;
  VisitBlock(dtype, [&]<typename Block>(std::type_identity<Block>) {
    assert(blocks.size() % sizeof(Block) == 0);
    found = FindNonFiniteBlock<Block>(blocks);
  });
  return found;
}

void DequantizeRow(DType dtype, const std::byte* src, float* dst, int64_t n) {
  assert(Info(dtype).supported);
  VisitBlock(dtype,
             [&]<typename Block>(std::type_identity<Block>) { DecodeRow<Block>(src, dst, n); });
}

}  // namespace mirage::tensor
