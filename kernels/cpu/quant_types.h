// SPDX-License-Identifier: Apache-2.0
#pragma once

// How each quantised type becomes integers in registers, written once over the vector type V (8
// rows, or 16 where V takes two groups). For 32 columns, number `sub` of the group's block at `w`:
//
//   ReadQuads(w, sub, k)  quads k and k + 4, 0 <= k < 4: columns 4k..4k+3 and 16 + 4k..16 + 4k+3 of
//   every row, one
//                         byte each, four to a 32-bit lane, a lane to a row
//   ReadQuad(w, sub, k)   one quad, 0 <= k < 8; types with kHalfScales
//   ReadScales(w, sub)    d and m, the floats of kernels/integer_block.h; for kHalfScales also the
//   integer scales of
//                         the two halves (and the minima) as a pair of int16 in each lane
//
// Bytes are unsigned with kOffset (a power of two) to be subtracted, or signed (kSigned). kMaxByte
// bounds unsigned bytes: it tells AVX2 how many products of pairs fit 16 bits. Offsets in `w` are
// those of src/tensor/packed_rows.cc times 8.

#include <cstdint>

#include "kernels/integer_block.h"
#include "kernels/ops.h"

namespace mirage::kernels {
namespace {

template <class V>
struct Quads {
  typename V::Ints low;   // columns 4k..4k+3
  typename V::Ints high;  // columns 16 + 4k..16 + 4k+3
};

template <class V>
struct Scales {
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
  static constexpr bool kStoredAsBytes = false;  // nothing to unpack
  static constexpr int kOffset = 0;
  static constexpr bool kHalfScales = false;
};

inline constexpr uint32_t EveryByte(uint32_t byte) { return byte * 0x01010101u; }

// Of an offset that is a power of two: x << OffsetShift(offset) is x * offset.
inline constexpr int OffsetShift(int offset) {
  return __builtin_ctz(static_cast<unsigned>(offset));
}

// Bits `from` and up of every byte moved to bits `to` and up; what else moves is for the caller to
// mask off.
template <class V>
inline typename V::Ints MoveBits(const typename V::Ints& x, int from, int to) {
  return from > to ? V::Shr(x, from - to) : V::Shl(x, to - from);
}

// A packed word whose low nibbles are quad k and whose high nibbles are quad k + 4.
template <class V>
inline Quads<V> ReadNibbles(const typename V::Rows& w, int offset) {
  const auto word = V::Words(w, offset);
  return {V::And(word, EveryByte(15)), V::And(V::Shr(word, 4), EveryByte(15))};
}

// The transposed high bits of Q5_0 and Q5_1: bit k of each byte belongs to quad k.
template <class V>
inline Quads<V> ReadFiveBits(const typename V::Rows& w, int bits_offset, int offset, int k) {
  const auto bits = V::Words(w, bits_offset);
  const Quads<V> four = ReadNibbles<V>(w, offset);
  return {V::Or(four.low, V::And(V::Shl(bits, 4 - k), EveryByte(16))),
          V::Or(four.high, V::And(V::Shr(bits, k), EveryByte(16)))};
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
  static Quads<V> ReadQuads(const typename V::Rows& w, int /*sub*/, int k) {
    return ReadNibbles<V>(w, 16 + 32 * k);
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int /*sub*/, Scales<V>& out) {
    out.d = V::Halves(w, 0);
  }
};

struct Q4_1 : QuantType<DType::kQ4_1, 20> {
  static constexpr int kMaxByte = 15;
  template <class V>
  static Quads<V> ReadQuads(const typename V::Rows& w, int /*sub*/, int k) {
    return ReadNibbles<V>(w, 32 + 32 * k);
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int /*sub*/, Scales<V>& out) {
    out.d = V::Halves(w, 0);
    out.m = V::Halves(w, 16);
  }
};

struct Q5_0 : QuantType<DType::kQ5_0, 22> {
  static constexpr int kOffset = 16;
  static constexpr int kMaxByte = 31;
  template <class V>
  static Quads<V> ReadQuads(const typename V::Rows& w, int /*sub*/, int k) {
    return ReadFiveBits<V>(w, 16, 48 + 32 * k, k);
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int /*sub*/, Scales<V>& out) {
    out.d = V::Halves(w, 0);
  }
};

struct Q5_1 : QuantType<DType::kQ5_1, 24> {
  static constexpr int kMaxByte = 31;
  template <class V>
  static Quads<V> ReadQuads(const typename V::Rows& w, int /*sub*/, int k) {
    return ReadFiveBits<V>(w, 32, 64 + 32 * k, k);
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int /*sub*/, Scales<V>& out) {
    out.d = V::Halves(w, 0);
    out.m = V::Halves(w, 16);
  }
};

struct Q8_0 : QuantType<DType::kQ8_0, 34> {
  static constexpr bool kSigned = true;
  static constexpr bool kStoredAsBytes = true;
  static constexpr int kMaxByte = 255;
  template <class V>
  static Quads<V> ReadQuads(const typename V::Rows& w, int /*sub*/, int k) {
    return {V::Words(w, 16 + 32 * k), V::Words(w, 16 + 32 * (k + 4))};
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int /*sub*/, Scales<V>& out) {
    out.d = V::Halves(w, 0);
  }
};

struct Q2_K : QuantType<DType::kQ2_K, 84, 8> {
  static constexpr int kMaxByte = 3;
  static constexpr bool kHalfScales = true;
  template <class V>
  static typename V::Ints ReadQuad(const typename V::Rows& w, int sub, int k) {
    const auto word = V::Words(w, 128 + 256 * (sub / 4) + 32 * k);
    return V::And(V::Shr(word, 2 * (sub % 4)), EveryByte(3));
  }
  template <class V>
  static Quads<V> ReadQuads(const typename V::Rows& w, int sub, int k) {
    return {ReadQuad<V>(w, sub, k), ReadQuad<V>(w, sub, k + 4)};
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int sub, Scales<V>& out) {
    // A byte holds the scale and the minimum of 16 columns; two neighbours are this sub-block's.
    const auto pair = SpreadBytes<V>(V::Shr(V::Words(w, 32 * (sub / 2)), 16 * (sub % 2)));
    out.scales = V::And(pair, 0x000F000Fu);
    out.mins = V::And(V::Shr(pair, 4), 0x000F000Fu);
    out.d = V::Halves(w, 640);
    out.m = V::Sub(V::Set(0.0f), V::Halves(w, 656));
  }
};

struct Q3_K : QuantType<DType::kQ3_K, 110, 8> {
  static constexpr int kOffset = 4;
  static constexpr int kMaxByte = 7;
  static constexpr bool kHalfScales = true;
  template <class V>
  static typename V::Ints ReadQuad(const typename V::Rows& w, int sub, int k) {
    const auto two = V::Shr(V::Words(w, 256 + 256 * (sub / 4) + 32 * k), 2 * (sub % 4));
    const auto bit = MoveBits<V>(V::Words(w, 32 * k), sub, 2);
    return V::Or(V::And(two, EveryByte(3)), V::And(bit, EveryByte(4)));
  }
  template <class V>
  static Quads<V> ReadQuads(const typename V::Rows& w, int sub, int k) {
    return {ReadQuad<V>(w, sub, k), ReadQuad<V>(w, sub, k + 4)};
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int sub, Scales<V>& out) {
    // Scale i: its low nibble in byte i % 8 (the high nibble for i >= 8), two more bits in byte 8 +
    // i % 4.
    const int byte_shift = 8 * (2 * sub % 4);
    const auto low = V::Shr(V::Words(w, 768 + 32 * (sub / 2 % 2)), byte_shift + (sub < 4 ? 0 : 4));
    const auto high = V::Shr(V::Words(w, 768 + 64), byte_shift + 2 * (sub / 2));
    const auto six = V::Or(V::And(low, 0x0F0Fu), V::Shl(V::And(high, 0x0303u), 4));
    out.scales = V::SubPairs(SpreadBytes<V>(six), V::SetInts(0x00200020u));
    out.d = V::Halves(w, 864);
  }
};

// The scale and minimum of 32 columns of Q4_K and Q5_K, from the 12 bytes after d and dmin.
template <class V>
inline void ReadScaleMin(const typename V::Rows& w, int sub, Scales<V>& out) {
  typename V::Ints scale;
  typename V::Ints min;
  if (sub < 4) {
    scale = V::And(V::Shr(V::Words(w, 32), 8 * sub), 63);
    min = V::And(V::Shr(V::Words(w, 64), 8 * sub), 63);
  } else {
    const int byte = 8 * (sub - 4);
    const auto low = V::Shr(V::Words(w, 96), byte);
    const auto scale_high = V::Shr(V::Words(w, 32), byte + 6);
    const auto min_high = V::Shr(V::Words(w, 64), byte + 6);
    scale = V::Or(V::And(low, 15), V::Shl(V::And(scale_high, 3), 4));
    min = V::Or(V::And(V::Shr(low, 4), 15), V::Shl(V::And(min_high, 3), 4));
  }
  out.d = V::Mul(V::Halves(w, 0), V::ToFloats(scale));
  out.m = V::Sub(V::Set(0.0f), V::Mul(V::Halves(w, 16), V::ToFloats(min)));
}

struct Q4_K : QuantType<DType::kQ4_K, 144, 8> {
  static constexpr int kMaxByte = 15;
  template <class V>
  static typename V::Ints ReadQuad(const typename V::Rows& w, int sub, int k) {
    const auto word = V::Words(w, 128 + 256 * (sub / 2) + 32 * k);
    return V::And(V::Shr(word, 4 * (sub % 2)), EveryByte(15));
  }
  template <class V>
  static Quads<V> ReadQuads(const typename V::Rows& w, int sub, int k) {
    return {ReadQuad<V>(w, sub, k), ReadQuad<V>(w, sub, k + 4)};
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int sub, Scales<V>& out) {
    ReadScaleMin<V>(w, sub, out);
  }
};

struct Q5_K : QuantType<DType::kQ5_K, 176, 8> {
  static constexpr int kMaxByte = 31;
  template <class V>
  static typename V::Ints ReadQuad(const typename V::Rows& w, int sub, int k) {
    const auto four = V::Shr(V::Words(w, 384 + 256 * (sub / 2) + 32 * k), 4 * (sub % 2));
    const auto bit = MoveBits<V>(V::Words(w, 128 + 32 * k), sub, 4);
    return V::Or(V::And(four, EveryByte(15)), V::And(bit, EveryByte(16)));
  }
  template <class V>
  static Quads<V> ReadQuads(const typename V::Rows& w, int sub, int k) {
    return {ReadQuad<V>(w, sub, k), ReadQuad<V>(w, sub, k + 4)};
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int sub, Scales<V>& out) {
    ReadScaleMin<V>(w, sub, out);
  }
};

struct Q6_K : QuantType<DType::kQ6_K, 210, 8> {
  static constexpr int kOffset = 32;
  static constexpr int kMaxByte = 63;
  static constexpr bool kHalfScales = true;
  template <class V>
  static typename V::Ints ReadQuad(const typename V::Rows& w, int sub, int k) {
    const int quarter = sub % 4;
    const int low = 512 * (sub / 4) + 256 * (quarter % 2);
    const auto four = V::Shr(V::Words(w, low + 32 * k), 4 * (quarter / 2));
    const auto two = MoveBits<V>(V::Words(w, 1024 + 256 * (sub / 4) + 32 * k), 2 * quarter, 4);
    return V::Or(V::And(four, EveryByte(15)), V::And(two, EveryByte(48)));
  }
  template <class V>
  static Quads<V> ReadQuads(const typename V::Rows& w, int sub, int k) {
    return {ReadQuad<V>(w, sub, k), ReadQuad<V>(w, sub, k + 4)};
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int sub, Scales<V>& out) {
    const auto pair = SpreadBytes<V>(V::Shr(V::Words(w, 1536 + 32 * (sub / 2)), 16 * (sub % 2)));
    const auto sign = V::SetInts(0x00800080u);
    out.scales = V::SubPairs(V::Xor(pair, sign), sign);  // sign-extended from 8 bits
    out.d = V::Halves(w, 1664);
  }
};

inline constexpr int8_t kIq4Table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};

template <class V>
inline Quads<V> ReadTable(const typename V::Rows& w, int offset, const int8_t (&table)[16]) {
  const Quads<V> nibbles = ReadNibbles<V>(w, offset);
  return {V::Lookup(nibbles.low, table), V::Lookup(nibbles.high, table)};
}

struct IQ4_NL : QuantType<DType::kIQ4_NL, 18> {
  static constexpr bool kSigned = true;
  static constexpr int kMaxByte = 255;
  template <class V>
  static Quads<V> ReadQuads(const typename V::Rows& w, int /*sub*/, int k) {
    return ReadTable<V>(w, 16 + 32 * k, kIq4Table);
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int /*sub*/, Scales<V>& out) {
    out.d = V::Halves(w, 0);
  }
};

struct IQ4_XS : QuantType<DType::kIQ4_XS, 136, 8> {
  static constexpr bool kSigned = true;
  static constexpr int kMaxByte = 255;
  template <class V>
  static Quads<V> ReadQuads(const typename V::Rows& w, int sub, int k) {
    return ReadTable<V>(w, 64 + 128 * sub + 32 * k, kIq4Table);
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int sub, Scales<V>& out) {
    const auto low = V::And(V::Shr(V::Words(w, 32), 4 * sub), 15);
    const auto high = V::And(V::Shr(V::Halfwords(w, 16), 2 * sub), 3);
    const auto scale = V::SubInts(V::Or(low, V::Shl(high, 4)), V::SetInts(32));
    out.d = V::Mul(V::Halves(w, 0), V::ToFloats(scale));
  }
};

struct MXFP4 : QuantType<DType::kMXFP4, 17> {
  static constexpr int kOffset = 16;
  static constexpr int kMaxByte = 28;
  // Twice the e2m1 values, plus the offset.
  static constexpr int8_t kTable[16] = {16, 17, 18, 19, 20, 22, 24, 28,
                                        16, 15, 14, 13, 12, 10, 8,  4};
  template <class V>
  static Quads<V> ReadQuads(const typename V::Rows& w, int /*sub*/, int k) {
    return ReadTable<V>(w, 8 + 32 * k, kTable);
  }
  template <class V>
  static void ReadScales(const typename V::Rows& w, int /*sub*/, Scales<V>& out) {
    // 2^(e - 128) as a product of two normal powers, since it may be subnormal.
    const auto e = V::Bytes(w, 0);
    const auto half = V::Shr(e, 1);
    const auto bias = V::SetInts(63);
    out.d = V::Mul(V::AsFloats(V::Shl(V::AddInts(half, bias), 23)),
                   V::AsFloats(V::Shl(V::AddInts(V::SubInts(e, half), bias), 23)));
  }
};

template <class... Ts>
struct TypeList {};

// All of the above: what the kernels of every instruction set are made for.
using QuantTypes =
    TypeList<Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4>;

}  // namespace
}  // namespace mirage::kernels
