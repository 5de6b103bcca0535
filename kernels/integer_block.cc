// SPDX-License-Identifier: Apache-2.0

#include "kernels/integer_block.h"

#include <bit>
#include <cstring>

#include "base/half.h"

namespace mirage::kernels {
namespace {

constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};
// Twice the e2m1 values; the scale below is half of 2^(e - 127).
constexpr int8_t kE2M1Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

uint8_t ByteAt(const std::byte* p, int64_t i) { return static_cast<uint8_t>(p[i]); }

float HalfAt(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return HalfToFloat(bits);
}

uint32_t WordAt(const std::byte* p) {
  uint32_t bits;
  std::memcpy(&bits, p, 4);
  return bits;
}

// 16 bytes hold 32 values: low nibbles first.
template <typename Value>
void Nibbles(const std::byte* qs, IntegerBlock* block, Value value) {
  for (int j = 0; j < 16; ++j) {
    block->q[j] = static_cast<int8_t>(value(ByteAt(qs, j) & 15, j));
    block->q[j + 16] = static_cast<int8_t>(value(ByteAt(qs, j) >> 4, j + 16));
  }
}

void UnitScales(IntegerBlock* block) {
  block->m = 0.0f;
  for (int h = 0; h < 2; ++h) {
    block->scale[h] = 1;
    block->min[h] = 0;
  }
}

void ReadQ4(const std::byte* p, bool has_min, IntegerBlock* block) {
  block->d = HalfAt(p);
  if (has_min) block->m = HalfAt(p + 2);
  Nibbles(p + (has_min ? 4 : 2), block, [=](int q, int) { return has_min ? q : q - 8; });
}

void ReadQ5(const std::byte* p, bool has_min, IntegerBlock* block) {
  block->d = HalfAt(p);
  if (has_min) block->m = HalfAt(p + 2);
  const std::byte* high = p + (has_min ? 4 : 2);
  const uint32_t bits = WordAt(high);
  Nibbles(high + 4, block, [=](int q, int j) {
    const int value = q | static_cast<int>(bits >> j & 1u) << 4;
    return has_min ? value : value - 16;
  });
}

void ReadQ8_0(const std::byte* p, IntegerBlock* block) {
  block->d = HalfAt(p);
  std::memcpy(block->q, p + 2, kBlock);
}

void ReadQ2_K(const std::byte* p, int sub, IntegerBlock* block) {
  for (int h = 0; h < 2; ++h) {
    const uint8_t pair = ByteAt(p, 2 * sub + h);
    block->scale[h] = pair & 15;
    block->min[h] = pair >> 4;
  }
  const std::byte* qs = p + 16 + 32 * (sub / 4);
  for (int c = 0; c < kBlock; ++c)
    block->q[c] = static_cast<int8_t>(ByteAt(qs, c) >> (2 * (sub % 4)) & 3);
  block->d = HalfAt(p + 80);
  block->m = 0.0f - HalfAt(p + 82);
}

void ReadQ3_K(const std::byte* p, int sub, IntegerBlock* block) {
  const std::byte* qs = p + 32 + 32 * (sub / 4);
  for (int c = 0; c < kBlock; ++c) {
    const int low = ByteAt(qs, c) >> (2 * (sub % 4)) & 3;
    const int high = ByteAt(p, c) >> sub & 1;
    block->q[c] = static_cast<int8_t>((low | high << 2) - 4);
  }
  const std::byte* scales = p + 96;
  for (int h = 0; h < 2; ++h) {
    const int k = 2 * sub + h;
    const int low = k < 8 ? ByteAt(scales, k) & 15 : ByteAt(scales, k - 8) >> 4;
    const int high = ByteAt(scales, 8 + k % 4) >> (2 * (k / 4)) & 3;
    block->scale[h] = static_cast<int16_t>((low | high << 4) - 32);
  }
  block->d = HalfAt(p + 108);
}

// The 6-bit scale and minimum of 32 columns of Q4_K and Q5_K, from 12 bytes.
void ReadScaleMin(const std::byte* scales, int sub, int* scale, int* min) {
  if (sub < 4) {
    *scale = ByteAt(scales, sub) & 63;
    *min = ByteAt(scales, sub + 4) & 63;
  } else {
    *scale = (ByteAt(scales, sub + 4) & 15) | (ByteAt(scales, sub - 4) >> 6) << 4;
    *min = (ByteAt(scales, sub + 4) >> 4) | (ByteAt(scales, sub) >> 6) << 4;
  }
}

void ReadQ45_K(const std::byte* p, int sub, bool five_bits, IntegerBlock* block) {
  int scale;
  int min;
  ReadScaleMin(p + 4, sub, &scale, &min);
  block->d = HalfAt(p) * static_cast<float>(scale);
  block->m = 0.0f - HalfAt(p + 2) * static_cast<float>(min);
  const std::byte* high = p + 16;
  const std::byte* qs = p + (five_bits ? 48 : 16) + 32 * (sub / 2);
  for (int c = 0; c < kBlock; ++c) {
    int value = ByteAt(qs, c) >> (4 * (sub % 2)) & 15;
    if (five_bits) value |= (ByteAt(high, c) >> sub & 1) << 4;
    block->q[c] = static_cast<int8_t>(value);
  }
}

void ReadQ6_K(const std::byte* p, int sub, IntegerBlock* block) {
  const int quarter = sub % 4;
  const std::byte* low = p + 64 * (sub / 4) + 32 * (quarter % 2);
  const std::byte* high = p + 128 + 32 * (sub / 4);
  for (int c = 0; c < kBlock; ++c) {
    const int value =
        (ByteAt(low, c) >> (4 * (quarter / 2)) & 15) | (ByteAt(high, c) >> (2 * quarter) & 3) << 4;
    block->q[c] = static_cast<int8_t>(value - 32);
  }
  for (int h = 0; h < 2; ++h) block->scale[h] = static_cast<int8_t>(ByteAt(p, 192 + 2 * sub + h));
  block->d = HalfAt(p + 208);
}

void ReadIq4Nl(const std::byte* p, IntegerBlock* block) {
  block->d = HalfAt(p);
  Nibbles(p + 2, block, [](int q, int) { return kIq4Values[q]; });
}

void ReadIq4Xs(const std::byte* p, int sub, IntegerBlock* block) {
  const int low = ByteAt(p, 4 + sub / 2) >> (4 * (sub % 2)) & 15;
  const int high = (ByteAt(p, 2) | ByteAt(p, 3) << 8) >> (2 * sub) & 3;
  block->d = HalfAt(p) * static_cast<float>((low | high << 4) - 32);
  Nibbles(p + 8 + 16 * sub, block, [](int q, int) { return kIq4Values[q]; });
}

void ReadMxfp4(const std::byte* p, IntegerBlock* block) {
  const uint32_t e = ByteAt(p, 0);
  block->d = std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
  Nibbles(p + 1, block, [](int q, int) { return kE2M1Values[q]; });
}

}  // namespace

float FloatWeightAt(DType dtype, const std::byte* row, int64_t c) {
  if (dtype == DType::kF32) return std::bit_cast<float>(WordAt(row + 4 * c));
  if (dtype == DType::kF16) return HalfAt(row + 2 * c);
  uint16_t bits;
  std::memcpy(&bits, row + 2 * c, 2);
  return Bf16ToFloat(bits);
}

bool ReadIntegerBlock(DType dtype, const std::byte* row, int64_t index, IntegerBlock* block) {
  const std::byte* small = nullptr;  // a block of 32 columns
  const std::byte* super = nullptr;  // the block of 256 columns that holds them
  const int64_t block_bytes = tensor::Info(dtype).block_bytes;
  if (tensor::Info(dtype).block_elements == kBlock) small = row + index * block_bytes;
  if (tensor::Info(dtype).block_elements == 256) super = row + index / 8 * block_bytes;
  if (small == nullptr && super == nullptr) return false;
  const int sub = static_cast<int>(index % 8);

  UnitScales(block);
  switch (dtype) {
    case DType::kQ4_0:
      ReadQ4(small, false, block);
      return true;
    case DType::kQ4_1:
      ReadQ4(small, true, block);
      return true;
    case DType::kQ5_0:
      ReadQ5(small, false, block);
      return true;
    case DType::kQ5_1:
      ReadQ5(small, true, block);
      return true;
    case DType::kQ8_0:
      ReadQ8_0(small, block);
      return true;
    case DType::kQ2_K:
      ReadQ2_K(super, sub, block);
      return true;
    case DType::kQ3_K:
      ReadQ3_K(super, sub, block);
      return true;
    case DType::kQ4_K:
      ReadQ45_K(super, sub, false, block);
      return true;
    case DType::kQ5_K:
      ReadQ45_K(super, sub, true, block);
      return true;
    case DType::kQ6_K:
      ReadQ6_K(super, sub, block);
      return true;
    case DType::kIQ4_NL:
      ReadIq4Nl(small, block);
      return true;
    case DType::kIQ4_XS:
      ReadIq4Xs(super, sub, block);
      return true;
    case DType::kMXFP4:
      ReadMxfp4(small, block);
      return true;
    default:
      return false;
  }
}

}  // namespace mirage::kernels
