// SPDX-License-Identifier: Apache-2.0
#pragma once

// How each quantised type becomes integers in registers, written once over the vector type V (8
// rows, or 16 where V takes two groups).
//
// Read() takes 32 columns, number `sub` of the group's block at `w`, to
//   q[k]    columns 4k..4k+3 of every row: one byte each, four to a 32-bit lane, a lane to a row
//   d, m    the floats of kernels/integer_block.h
//   scales  (kHalfScales) the integer scales of the two halves as a pair of int16 in each lane;
//   mins likewise
// Bytes are unsigned with kOffset to be subtracted, or signed (kOffset 0, kSigned). kMaxByte bounds
// unsigned bytes: it tells AVX2 how many products of pairs fit 16 bits. Offsets in `w` are those of
// kernels/pack.cc times 8 rows.

#include <cstdint>

#include "kernels/integer_block.h"
#include "kernels/ops.h"

namespace mirage::kernels {
namespace {

template <class V>
struct QuantBlock {
  typename V::Ints q[8];
  typename V::Floats d;
  typename V::Floats m;
  typename V::Ints scales;
  typename V::Ints mins;
};

// What most types have in common; a type redeclares what differs.
template <DType kType, int kBytes, int kSubs = 1>
struct QuantType {
  static constexpr DType kDType = kType;
  static constexpr int kRowBytes = kBytes;  // of one row's block
  static constexpr int kSubBlocks = kSubs;  // runs of 32 columns in it
  static constexpr bool kSigned = false;
  static constexpr int kOffset = 0;
  static constexpr bool kHalfScales = false;
};

inline constexpr uint32_t EveryByte(uint32_t byte) { return byte * 0x01010101u; }

// Four packed words hold 32 nibbles: the low ones are quads 0..3, the high ones quads 4..7.
template <class V>
inline void ReadNibbles(const typename V::Rows& w, int offset, typename V::Ints (&q)[8]) {
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const auto word = V::Words(w, offset + 32 * k);
    q[k] = V::And(word, EveryByte(15));
    q[k + 4] = V::And(V::Shr(word, 4), EveryByte(15));
  }
}

// ORs the transposed high bits of Q5_0 and Q5_1 into the quads.
template <class V>
inline void AddHighBits(const typename V::Ints& bits, typename V::Ints (&q)[8]) {
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) {
    const auto shifted = k < 4 ? V::Shl(bits, 4 - k) : V::Shr(bits, k - 4);
    q[k] = V::Or(q[k], V::And(shifted, EveryByte(16)));
  }
}

// The two low bytes of each lane as a pair of 16-bit values.
template <class V>
inline typename V::Ints SpreadBytes(const typename V::Ints& x) {
  return V::Or(V::And(x, 0xFFu), V::Shl(V::And(x, 0xFF00u), 8));
}

struct Q4_0 : QuantType<DType::kQ4_0, 18> {
  static constexpr int kOffset = 8;
  static constexpr int kMaxByte = 15;
  template <class V>
  static void Read(const typename V::Rows& w, int /*sub*/, QuantBlock<V>& block) {
    block.d = V::Halves(w, 0);
    ReadNibbles<V>(w, 16, block.q);
  }
};

struct Q4_1 : QuantType<DType::kQ4_1, 20> {
  static constexpr int kMaxByte = 15;
  template <class V>
  static void Read(const typename V::Rows& w, int /*sub*/, QuantBlock<V>& block) {
    block.d = V::Halves(w, 0);
    block.m = V::Halves(w, 16);
    ReadNibbles<V>(w, 32, block.q);
  }
};

struct Q5_0 : QuantType<DType::kQ5_0, 22> {
  static constexpr int kOffset = 16;
  static constexpr int kMaxByte = 31;
  template <class V>
  static void Read(const typename V::Rows& w, int /*sub*/, QuantBlock<V>& block) {
    block.d = V::Halves(w, 0);
    ReadNibbles<V>(w, 48, block.q);
    AddHighBits<V>(V::Words(w, 16), block.q);
  }
};

struct Q5_1 : QuantType<DType::kQ5_1, 24> {
  static constexpr int kMaxByte = 31;
  template <class V>
  static void Read(const typename V::Rows& w, int /*sub*/, QuantBlock<V>& block) {
    block.d = V::Halves(w, 0);
    block.m = V::Halves(w, 16);
    ReadNibbles<V>(w, 64, block.q);
    AddHighBits<V>(V::Words(w, 32), block.q);
  }
};

struct Q8_0 : QuantType<DType::kQ8_0, 34> {
  static constexpr bool kSigned = true;
  static constexpr int kMaxByte = 255;
  template <class V>
  static void Read(const typename V::Rows& w, int /*sub*/, QuantBlock<V>& block) {
    block.d = V::Halves(w, 0);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) block.q[k] = V::Words(w, 16 + 32 * k);
  }
};

struct Q2_K : QuantType<DType::kQ2_K, 84, 8> {
  static constexpr int kMaxByte = 3;
  static constexpr bool kHalfScales = true;
  template <class V>
  static void Read(const typename V::Rows& w, int sub, QuantBlock<V>& block) {
    // A byte of `scales` holds scale and minimum of 16 columns; two neighbours are this
    // sub-block's.
    const auto pair = V::Shr(V::Words(w, 32 * (sub / 2)), 16 * (sub % 2));
    const auto spread = SpreadBytes<V>(pair);
    block.scales = V::And(spread, 0x000F000Fu);
    block.mins = V::And(V::Shr(spread, 4), 0x000F000Fu);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k)
      block.q[k] =
          V::And(V::Shr(V::Words(w, 128 + 256 * (sub / 4) + 32 * k), 2 * (sub % 4)), EveryByte(3));
    block.d = V::Halves(w, 640);
    block.m = V::Sub(V::Set(0.0f), V::Halves(w, 656));
  }
};

struct Q3_K : QuantType<DType::kQ3_K, 110, 8> {
  static constexpr int kOffset = 4;
  static constexpr int kMaxByte = 7;
  static constexpr bool kHalfScales = true;
  template <class V>
  static void Read(const typename V::Rows& w, int sub, QuantBlock<V>& block) {
    // Scale k: its low nibble in byte k % 8 (high nibble for k >= 8), its top two bits in byte 8 +
    // k % 4.
    const int low_shift = 8 * (2 * sub % 4) + (sub < 4 ? 0 : 4);
    const auto low = V::Shr(V::Words(w, 768 + 32 * (sub / 2 % 2)), low_shift);
    const auto high = V::Shr(V::Words(w, 768 + 64), 8 * (2 * sub % 4) + 2 * (sub / 2));
    const auto six = V::Or(V::And(low, 0x0F0Fu), V::Shl(V::And(high, 0x0303u), 4));
    block.scales = V::SubPairs(SpreadBytes<V>(six), V::SetInts(0x00200020u));
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      const auto two = V::Shr(V::Words(w, 256 + 256 * (sub / 4) + 32 * k), 2 * (sub % 4));
      const auto bit = V::Shl(V::And(V::Shr(V::Words(w, 32 * k), sub), EveryByte(1)), 2);
      block.q[k] = V::Or(V::And(two, EveryByte(3)), bit);
    }
    block.d = V::Halves(w, 864);
  }
};

// The scale and minimum of 32 columns of Q4_K and Q5_K; from the 12 bytes after d and dmin.
template <class V>
inline void ReadScaleMin(const typename V::Rows& w, int sub, QuantBlock<V>& block) {
  const auto w0 = V::Words(w, 32);
  const auto w1 = V::Words(w, 64);
  const auto w2 = V::Words(w, 96);
  typename V::Ints scale;
  typename V::Ints min;
  if (sub < 4) {
    scale = V::And(V::Shr(w0, 8 * sub), 63);
    min = V::And(V::Shr(w1, 8 * sub), 63);
  } else {
    const int byte = 8 * (sub - 4);
    scale = V::Or(V::And(V::Shr(w2, byte), 15), V::Shl(V::And(V::Shr(w0, byte + 6), 3), 4));
    min = V::Or(V::And(V::Shr(w2, byte + 4), 15), V::Shl(V::And(V::Shr(w1, byte + 6), 3), 4));
  }
  block.d = V::Mul(V::Halves(w, 0), V::ToFloats(scale));
  block.m = V::Sub(V::Set(0.0f), V::Mul(V::Halves(w, 16), V::ToFloats(min)));
}

struct Q4_K : QuantType<DType::kQ4_K, 144, 8> {
  static constexpr int kMaxByte = 15;
  template <class V>
  static void Read(const typename V::Rows& w, int sub, QuantBlock<V>& block) {
    ReadScaleMin<V>(w, sub, block);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k)
      block.q[k] =
          V::And(V::Shr(V::Words(w, 128 + 256 * (sub / 2) + 32 * k), 4 * (sub % 2)), EveryByte(15));
  }
};

struct Q5_K : QuantType<DType::kQ5_K, 176, 8> {
  static constexpr int kMaxByte = 31;
  template <class V>
  static void Read(const typename V::Rows& w, int sub, QuantBlock<V>& block) {
    ReadScaleMin<V>(w, sub, block);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      const auto four = V::Shr(V::Words(w, 384 + 256 * (sub / 2) + 32 * k), 4 * (sub % 2));
      const auto bit = V::Shl(V::And(V::Shr(V::Words(w, 128 + 32 * k), sub), EveryByte(1)), 4);
      block.q[k] = V::Or(V::And(four, EveryByte(15)), bit);
    }
  }
};

struct Q6_K : QuantType<DType::kQ6_K, 210, 8> {
  static constexpr int kOffset = 32;
  static constexpr int kMaxByte = 63;
  static constexpr bool kHalfScales = true;
  template <class V>
  static void Read(const typename V::Rows& w, int sub, QuantBlock<V>& block) {
    const int quarter = sub % 4;
    const int low = 512 * (sub / 4) + 256 * (quarter % 2);
    const int high = 1024 + 256 * (sub / 4);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      const auto four = V::Shr(V::Words(w, low + 32 * k), 4 * (quarter / 2));
      const auto two = V::And(V::Shr(V::Words(w, high + 32 * k), 2 * quarter), EveryByte(3));
      block.q[k] = V::Or(V::And(four, EveryByte(15)), V::Shl(two, 4));
    }
    const auto spread = SpreadBytes<V>(V::Shr(V::Words(w, 1536 + 32 * (sub / 2)), 16 * (sub % 2)));
    const auto sign = V::SetInts(0x00800080u);
    block.scales = V::SubPairs(V::Xor(spread, sign), sign);  // sign-extended from 8 bits
    block.d = V::Halves(w, 1664);
  }
};

inline constexpr int8_t kIq4Table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};

struct IQ4_NL : QuantType<DType::kIQ4_NL, 18> {
  static constexpr bool kSigned = true;
  static constexpr int kMaxByte = 255;
  template <class V>
  static void Read(const typename V::Rows& w, int /*sub*/, QuantBlock<V>& block) {
    block.d = V::Halves(w, 0);
    ReadNibbles<V>(w, 16, block.q);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) block.q[k] = V::Lookup(block.q[k], kIq4Table);
  }
};

struct IQ4_XS : QuantType<DType::kIQ4_XS, 136, 8> {
  static constexpr bool kSigned = true;
  static constexpr int kMaxByte = 255;
  template <class V>
  static void Read(const typename V::Rows& w, int sub, QuantBlock<V>& block) {
    const auto low = V::And(V::Shr(V::Words(w, 32), 4 * sub), 15);
    const auto high = V::And(V::Shr(V::Halfwords(w, 16), 2 * sub), 3);
    const auto scale = V::SubInts(V::Or(low, V::Shl(high, 4)), V::SetInts(32));
    block.d = V::Mul(V::Halves(w, 0), V::ToFloats(scale));
    ReadNibbles<V>(w, 64 + 128 * sub, block.q);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) block.q[k] = V::Lookup(block.q[k], kIq4Table);
  }
};

struct MXFP4 : QuantType<DType::kMXFP4, 17> {
  static constexpr int kOffset = 16;
  static constexpr int kMaxByte = 28;
  // Twice the e2m1 values, plus the offset.
  static constexpr int8_t kTable[16] = {16, 17, 18, 19, 20, 22, 24, 28,
                                        16, 15, 14, 13, 12, 10, 8,  4};
  template <class V>
  static void Read(const typename V::Rows& w, int /*sub*/, QuantBlock<V>& block) {
    // 2^(e - 128) as a product of two normal powers, since it may be subnormal.
    const auto e = V::Bytes(w, 0);
    const auto half = V::Shr(e, 1);
    const auto bias = V::SetInts(63);
    block.d = V::Mul(V::AsFloats(V::Shl(V::AddInts(half, bias), 23)),
                     V::AsFloats(V::Shl(V::AddInts(V::SubInts(e, half), bias), 23)));
    ReadNibbles<V>(w, 8, block.q);
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) block.q[k] = V::Lookup(block.q[k], kTable);
  }
};

}  // namespace
}  // namespace mirage::kernels
