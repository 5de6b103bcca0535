// SPDX-License-Identifier: Apache-2.0
#pragma once

// Avx512: the vector type of AVX-512 with VNNI; a vector is two row groups side by side, or 16
// lanes. Avx512Narrow is its half, one row group, for a group that has no neighbour. The operations
// mean what those of simd_generic.h do.

#include <type_traits>

#include "kernels/cpu/simd_avx2.h"

namespace mirage::kernels {
namespace {

// The dots of both widths. dpbusd multiplies unsigned by signed bytes and adds four products to 32
// bits: signed weights are raised by 128, and what an offset adds to the dot is taken off at the
// end.
template <class V, class T, int kVectors, int kTokens>
struct VnniTile {
  using Ints = typename V::Ints;
  static constexpr int kOffset = T::kSigned ? 128 : T::kOffset;
  Ints sums[kVectors][kTokens];

  VnniTile(const ActBlock* /*x*/, int64_t /*x_stride*/) {
#pragma GCC unroll 4
    for (auto& vector : sums)
#pragma GCC unroll 8
      for (Ints& sum : vector) sum = V::SetInts(0);
  }

  void Add(const Quads<V> (&quads)[kVectors], int k, const ActBlock* x, int64_t x_stride) {
    AddQuads(quads, &Quads<V>::low, 4 * k, x, x_stride);
    AddQuads(quads, &Quads<V>::high, 16 + 4 * k, x, x_stride);
  }

  Ints Dot(int v, int m, const Scales<V>& /*scales*/, const ActBlock& a) const {
    if constexpr (kOffset == 0)
      return sums[v][m];
    else
      return V::SubInts(sums[v][m],
                        V::Shl(V::SetInts(static_cast<uint32_t>(a.sum)), OffsetShift(kOffset)));
  }

 private:
  void AddQuads(const Quads<V> (&quads)[kVectors], Ints Quads<V>::*half, int column,
                const ActBlock* x, int64_t x_stride) {
    Ints bytes[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      bytes[v] = T::kSigned ? V::Xor(quads[v].*half, V::SetInts(EveryByte(0x80))) : quads[v].*half;
#pragma GCC unroll 8
    for (int m = 0; m < kTokens; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        sums[v][m] = V::DotBytes(sums[v][m], bytes[v], x[m * x_stride].values + column);
  }
};

// The scale of one half of the columns, from pairs of int16 in each lane.
template <class V>
inline typename V::Ints HalfScale(typename V::Ints pairs, int half) {
  return V::ShrSigned(half == 0 ? V::Shl(pairs, 16) : pairs, 16);
}

// The same where each half of the columns has a scale of its own.
template <class V, class T, int kVectors, int kTokens>
struct VnniHalvesTile {
  static_assert(!T::kSigned);
  using Ints = typename V::Ints;
  Ints sums[kVectors][kTokens];  // of the present half
  Ints dots[kVectors][kTokens];
  Ints offsets[kVectors];  // what offset and scales add to a dot, by the sum of a half; negative

  VnniHalvesTile(const ActBlock* /*x*/, int64_t /*x_stride*/) {}  // the first half sets all

  void BeginHalf(int half, const Scales<V> (&scales)[kVectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (T::kOffset != 0)
        if (half == 0)
          offsets[v] =
              V::SubPairs(V::SetInts(0), V::ShlPairs(scales[v].scales, OffsetShift(T::kOffset)));
#pragma GCC unroll 8
      for (Ints& sum : sums[v]) sum = V::SetInts(0);
    }
  }

  void Add(const Ints (&quads)[kVectors], int half, int k, const ActBlock* x, int64_t x_stride) {
#pragma GCC unroll 8
    for (int m = 0; m < kTokens; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        sums[v][m] = V::DotBytes(sums[v][m], quads[v], x[m * x_stride].values + 16 * half + 4 * k);
  }

  void EndHalf(int half, const Scales<V> (&scales)[kVectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Ints scale = HalfScale<V>(scales[v].scales, half);
#pragma GCC unroll 8
      for (int m = 0; m < kTokens; ++m) {
        const Ints scaled = V::MulInts(sums[v][m], scale);
        dots[v][m] = half == 0 ? scaled : V::AddInts(dots[v][m], scaled);
      }
    }
  }

  Ints Dot(int v, int m, const Scales<V>& /*scales*/, const ActBlock& a) const {
    if constexpr (T::kOffset == 0)
      return dots[v][m];
    else
      return V::AddPairs(dots[v][m], offsets[v], a.half_sums);
  }
};

template <class V, class T, int kVectors, int kTokens>
using VnniTileOf = std::conditional_t<T::kHalfScales, VnniHalvesTile<V, T, kVectors, kTokens>,
                                      VnniTile<V, T, kVectors, kTokens>>;

struct Avx512Narrow : Avx2 {
  static constexpr int kTileTokens = 8;
  static constexpr int32_t kPanelTokens = 0;
  static Ints MulInts(Ints a, Ints b) { return _mm256_mullo_epi32(a, b); }
  static Ints DotBytes(Ints sum, Ints weights, const int8_t* a) {
    return _mm256_dpbusd_epi32(sum, weights, _mm256_set1_epi32(LoadInt(a)));
  }
  static Ints ShlPairs(Ints x, int n) { return _mm256_slli_epi16(x, n); }
  // sum + a[0] * b[0] + a[1] * b[1] for the pairs of int16 in each lane of `a`.
  static Ints AddPairs(Ints sum, Ints a, const int16_t* b) {
    return _mm256_dpwssd_epi32(sum, a, _mm256_set1_epi32(LoadInt(b)));
  }
  template <class T, int kVectors, int kTokens>
  using DotTile = VnniTileOf<Avx512Narrow, T, kVectors, kTokens>;
};

struct Avx512 {
  static constexpr int kLanes = 16;
  static constexpr int kGroups = 2;
  static constexpr int kTileTokens = 8;
  static constexpr int kTileVectors = 1;
  static constexpr int32_t kPanelTokens = 0;
  static constexpr bool kHalvesInTurn = true;
  static constexpr int kFloatVectors = 4;
  static constexpr int kAccumulators = 24;
  static constexpr int kAttentionTile = 8;

  using Floats = __m512;
  using Ints = __m512i;

  // ---- floats
  static Floats Set(float x) { return _mm512_set1_ps(x); }
  static Floats Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, Floats x) { _mm512_storeu_ps(p, x); }
  static Floats LoadHalf(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Floats LoadBytes(const int8_t* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  // (byte >> shift & 15) - 8
  static Floats LoadNibbles(const uint8_t* p, int shift) {
    const __m512i bytes =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m512i nibbles =
        _mm512_and_si512(_mm512_srl_epi32(bytes, _mm_cvtsi32_si128(shift)), _mm512_set1_epi32(15));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(nibbles, _mm512_set1_epi32(8)));
  }
  static void StoreHalf(uint16_t* p, Floats x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  static Floats Add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats Sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static Floats Mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats Div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
  static Floats Min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
  static Floats Max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats MulAdd(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats NegMulAdd(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }
  static float ScalarMulAdd(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static Floats Abs(Floats x) { return AsFloats(And(AsInts(x), 0x7FFFFFFFu)); }
  static Floats CopySign(Floats magnitude, Floats sign) {
    return AsFloats(Or(AsInts(magnitude), And(AsInts(sign), 0x80000000u)));
  }
  static Floats PowerOfTwo(Floats t) {
    return AsFloats(AddInts(Shl(AsInts(t), 23), SetInts(0x3F800000u)));
  }
  static void StoreRounded(int8_t* p, Floats x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
  }

  // ---- integers
  static Ints And(Ints x, uint32_t mask) { return _mm512_and_si512(x, SetInts(mask)); }
  static Ints Or(Ints a, Ints b) { return _mm512_or_si512(a, b); }
  static Ints Xor(Ints a, Ints b) { return _mm512_xor_si512(a, b); }
  static Ints Shr(Ints x, int n) { return _mm512_srli_epi32(x, static_cast<unsigned>(n)); }
  static Ints ShrSigned(Ints x, int n) { return _mm512_srai_epi32(x, static_cast<unsigned>(n)); }
  static Ints Shl(Ints x, int n) { return _mm512_slli_epi32(x, static_cast<unsigned>(n)); }
  static Ints SetInts(uint32_t x) { return _mm512_set1_epi32(static_cast<int32_t>(x)); }
  static Ints LoadInts(const void* p) { return _mm512_loadu_si512(p); }
  static void StoreInts(void* p, Ints x) { _mm512_storeu_si512(p, x); }
  static Ints AddInts(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  static Ints SubInts(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
  static Ints MulInts(Ints a, Ints b) { return _mm512_mullo_epi32(a, b); }
  static Ints SubPairs(Ints a, Ints b) { return _mm512_sub_epi16(a, b); }
  static Ints SubBytes(Ints a, Ints b) { return _mm512_sub_epi8(a, b); }
  static Ints ShlPairs(Ints x, int n) { return _mm512_slli_epi16(x, static_cast<unsigned>(n)); }
  static Ints Lookup(Ints nibbles, const int8_t (&table)[16]) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), nibbles);
  }
  static Floats ToFloats(Ints x) { return _mm512_cvtepi32_ps(x); }
  static Floats AsFloats(Ints x) { return _mm512_castsi512_ps(x); }
  static Ints AsInts(Floats x) { return _mm512_castps_si512(x); }
  static Ints MulPairs(Ints a, const int16_t* b) {
    return _mm512_madd_epi16(a, _mm512_set1_epi32(LoadInt(b)));
  }
  static Ints DotBytes(Ints sum, Ints weights, const int8_t* a) {
    return _mm512_dpbusd_epi32(sum, weights, _mm512_set1_epi32(LoadInt(a)));
  }

  // ---- weights of two groups
  struct Rows {
    const std::byte* p;
    int64_t group_bytes;
    Rows(const std::byte* groups, int64_t stride) : p(groups), group_bytes(stride) {}
  };
  static __m256i JoinHalves(__m128i low, __m128i high) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
  }
  static __m256i Load16Bytes(const std::byte* p, int64_t group_bytes) {
    return JoinHalves(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)),
                      _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + group_bytes)));
  }
  static __m512i Load32Bytes(const std::byte* p, int64_t group_bytes) {
    return _mm512_inserti64x4(
        _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))),
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + group_bytes)), 1);
  }
  static Ints Words(const Rows& w, int offset) { return Load32Bytes(w.p + offset, w.group_bytes); }
  static Ints Halfwords(const Rows& w, int offset) {
    return _mm512_cvtepu16_epi32(Load16Bytes(w.p + offset, w.group_bytes));
  }
  static Ints Bytes(const Rows& w, int offset) {
    const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(w.p + offset));
    const __m128i high =
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(w.p + offset + w.group_bytes));
    return _mm512_cvtepu8_epi32(_mm_unpacklo_epi64(low, high));
  }
  static Floats Halves(const Rows& w, int offset) {
    return _mm512_cvtph_ps(Load16Bytes(w.p + offset, w.group_bytes));
  }
  template <DType kType>
  static Floats LoadColumn(const std::byte* column, int64_t group_bytes) {
    if constexpr (kType == DType::kF32) return AsFloats(Load32Bytes(column, group_bytes));
    const __m256i bits = Load16Bytes(column, group_bytes);
    if constexpr (kType == DType::kF16) return _mm512_cvtph_ps(bits);
    return AsFloats(Shl(_mm512_cvtepu16_epi32(bits), 16));
  }

  static Ints AddPairs(Ints sum, Ints a, const int16_t* b) {
    return _mm512_dpwssd_epi32(sum, a, _mm512_set1_epi32(LoadInt(b)));
  }
  template <class T, int kVectors, int kTokens>
  using DotTile = VnniTileOf<Avx512, T, kVectors, kTokens>;
};

}  // namespace
}  // namespace mirage::kernels
