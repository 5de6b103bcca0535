// SPDX-License-Identifier: Apache-2.0
#pragma once

// Avx2: the vector type of AVX2, FMA and F16C; a vector is 8 rows or 8 lanes. The operations mean
// what those of simd_generic.h do.

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/cpu/quant_types.h"
#include "kernels/ops.h"
#include "kernels/vector_math.h"
#include "tensor/packed_rows.h"

namespace mirage::kernels {
namespace {

inline int32_t LoadInt(const void* p) {
  int32_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

struct Avx2 {
  static constexpr int kLanes = 8;
  static constexpr int kGroups = 1;
  static constexpr int kTileTokens = 4;
  static constexpr int kTileVectors = 2;
  static constexpr int32_t kPanelTokens = 16;
  static constexpr bool kHalvesInTurn = true;
  static constexpr int kFloatVectors = 3;
  static constexpr int kAccumulators = 10;
  static constexpr int kAttentionTile = 5;

  using Floats = __m256;
  using Ints = __m256i;

  // ---- floats
  static Floats Set(float x) { return _mm256_set1_ps(x); }
  static Floats Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, Floats x) { _mm256_storeu_ps(p, x); }
  static Floats LoadHalf(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Floats LoadBf16(const uint16_t* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static Floats LoadBytes(const int8_t* p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  // (byte >> shift & 15) - 8
  static Floats LoadNibbles(const uint8_t* p, int shift) {
    const __m256i bytes =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    const __m256i nibbles =
        _mm256_and_si256(_mm256_srl_epi32(bytes, _mm_cvtsi32_si128(shift)), _mm256_set1_epi32(15));
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(nibbles, _mm256_set1_epi32(8)));
  }
  static void StoreHalf(uint16_t* p, Floats x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  static Floats Add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats Sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static Floats Mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats Div(Floats a, Floats b) { return _mm256_div_ps(a, b); }
  static Floats Min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
  static Floats Max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats MulAdd(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats NegMulAdd(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }
  static float ScalarMulAdd(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static Floats Abs(Floats x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
  static Floats CopySign(Floats magnitude, Floats sign) {
    return _mm256_or_ps(magnitude, _mm256_and_ps(_mm256_set1_ps(-0.0f), sign));
  }
  static Floats PowerOfTwo(Floats t) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(0x3F800000)));
  }
  static void StoreRounded(int8_t* p, Floats x) {
    const __m256i words = _mm256_cvtps_epi32(x);
    const __m128i pairs =
        _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(pairs, pairs));
  }

  // ---- integers
  static Ints And(Ints x, uint32_t mask) { return _mm256_and_si256(x, SetInts(mask)); }
  static Ints Or(Ints a, Ints b) { return _mm256_or_si256(a, b); }
  static Ints Xor(Ints a, Ints b) { return _mm256_xor_si256(a, b); }
  static Ints Shr(Ints x, int n) { return _mm256_srli_epi32(x, n); }
  static Ints Shl(Ints x, int n) { return _mm256_slli_epi32(x, n); }
  static Ints ShrSigned(Ints x, int n) { return _mm256_srai_epi32(x, n); }
  static Ints SetInts(uint32_t x) { return _mm256_set1_epi32(static_cast<int32_t>(x)); }
  static Ints AddInts(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  static Ints SubInts(Ints a, Ints b) { return _mm256_sub_epi32(a, b); }
  static Ints SubPairs(Ints a, Ints b) { return _mm256_sub_epi16(a, b); }
  static Ints Lookup(Ints nibbles, const int8_t (&table)[16]) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), nibbles);
  }
  static Floats ToFloats(Ints x) { return _mm256_cvtepi32_ps(x); }
  static Floats AsFloats(Ints x) { return _mm256_castsi256_ps(x); }
  static Ints MulPairs(Ints a, const int16_t* b) {
    return _mm256_madd_epi16(a, _mm256_set1_epi32(LoadInt(b)));
  }

  // ---- weights
  struct Rows {
    const std::byte* p;
    Rows(const std::byte* groups, int64_t /*group_bytes*/) : p(groups) {}
  };
  static Ints Words(const Rows& w, int offset) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w.p + offset));
  }
  static Ints Halfwords(const Rows& w, int offset) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w.p + offset)));
  }
  static Ints Bytes(const Rows& w, int offset) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(w.p + offset)));
  }
  static Floats Halves(const Rows& w, int offset) {
    return LoadHalf(reinterpret_cast<const uint16_t*>(w.p + offset));
  }
  template <DType kType>
  static Floats LoadColumn(const std::byte* column, int64_t /*group_bytes*/) {
    if constexpr (kType == DType::kF32) return Load(reinterpret_cast<const float*>(column));
    const auto* bits = reinterpret_cast<const uint16_t*>(column);
    return kType == DType::kF16 ? LoadHalf(bits) : LoadBf16(bits);
  }

  // ---- integer dots
  static Ints Quad(const ActBlock& a, int k) {
    return _mm256_set1_epi32(LoadInt(a.values + 4 * k));
  }

  // Products of unsigned and signed bytes are added in pairs to 16 bits; as many such sums as
  // cannot pass 32767 are added there before widening to 32.
  template <class T, int kVectors, int kTokens>
  struct WholeTile {
    // Steps of Add(), which adds two sums each, that fit.
    static constexpr int kFit = 32767 / (2 * 127 * T::kMaxByte) / 2;
    static constexpr int kSteps = T::kSigned ? 0 : kFit >= 4 ? 4 : kFit;
    static_assert(T::kSigned || kSteps >= 1);

    Ints sums16[kVectors][kTokens];
    Ints sums32[kVectors][kTokens];

    WholeTile(const ActBlock*, int64_t) {}  // step 0 sets what later steps add to

    void Add(const Quads<Avx2> (&quads)[kVectors], int k, const ActBlock* x, int64_t x_stride) {
#pragma GCC unroll 8
      for (int m = 0; m < kTokens; ++m) {
        const Ints low = Quad(x[m * x_stride], k);
        const Ints high = Quad(x[m * x_stride], k + 4);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          if constexpr (T::kSigned)
            AddSigned(quads[v], low, high, k, sums32[v][m]);
          else
            AddUnsigned(quads[v], low, high, k, sums16[v][m], sums32[v][m]);
        }
      }
    }

    Ints Dot(int v, int m, const Scales<Avx2>& /*scales*/, const ActBlock& a) const {
      if constexpr (T::kOffset == 0)
        return sums32[v][m];
      else
        return _mm256_sub_epi32(
            sums32[v][m], Shl(SetInts(static_cast<uint32_t>(a.sum)), OffsetShift(T::kOffset)));
    }

   private:
    static void AddUnsigned(const Quads<Avx2>& q, Ints low, Ints high, int k, Ints& sum16,
                            Ints& sum32) {
      const Ints products =
          _mm256_add_epi16(_mm256_maddubs_epi16(q.low, low), _mm256_maddubs_epi16(q.high, high));
      sum16 = k % kSteps == 0 ? products : _mm256_add_epi16(sum16, products);
      if (k % kSteps != kSteps - 1) return;
      const Ints widened = _mm256_madd_epi16(sum16, _mm256_set1_epi16(1));
      sum32 = k < kSteps ? widened : _mm256_add_epi32(sum32, widened);
    }

    // Signed times signed: the weight's sign moves to the activation. |q| <= 128 and |a| <= 127, so
    // that a pair fits.
    static void AddSigned(const Quads<Avx2>& q, Ints low, Ints high, int k, Ints& sum32) {
      const Ints ones = _mm256_set1_epi16(1);
      const Ints a = _mm256_maddubs_epi16(_mm256_abs_epi8(q.low), _mm256_sign_epi8(low, q.low));
      const Ints b = _mm256_maddubs_epi16(_mm256_abs_epi8(q.high), _mm256_sign_epi8(high, q.high));
      const Ints both = _mm256_add_epi32(_mm256_madd_epi16(a, ones), _mm256_madd_epi16(b, ones));
      sum32 = k == 0 ? both : _mm256_add_epi32(sum32, both);
    }
  };

  // The same where each half of the columns has a scale of its own, by which widening multiplies.
  template <class T, int kVectors, int kTokens>
  struct HalvesTile {
    static constexpr int kFit = 32767 / (2 * 127 * T::kMaxByte);
    static constexpr int kSteps = kFit >= 4 ? 4 : kFit;
    static_assert(kSteps >= 1);

    Ints sums16[kVectors][kTokens];
    Ints dots[kVectors][kTokens];
    Ints half_scales[kVectors];  // the scale of the present half, twice in each lane

    HalvesTile(const ActBlock*, int64_t) {}  // the first half sets all

    void BeginHalf(int half, const Scales<Avx2> (&scales)[kVectors]) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Ints pairs = scales[v].scales;
        half_scales[v] = half == 0 ? Or(And(pairs, 0xFFFFu), Shl(pairs, 16))
                                   : Or(And(pairs, 0xFFFF0000u), Shr(pairs, 16));
      }
    }

    void Add(const Ints (&quads)[kVectors], int half, int k, const ActBlock* x, int64_t x_stride) {
#pragma GCC unroll 8
      for (int m = 0; m < kTokens; ++m) {
        const Ints a = Quad(x[m * x_stride], 4 * half + k);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const Ints products = _mm256_maddubs_epi16(quads[v], a);
          Ints& sum16 = sums16[v][m];
          sum16 = k % kSteps == 0 ? products : _mm256_add_epi16(sum16, products);
          if (k % kSteps != kSteps - 1) continue;
          const Ints scaled = _mm256_madd_epi16(sum16, half_scales[v]);
          Ints& dot = dots[v][m];
          dot = half == 0 && k < kSteps ? scaled : _mm256_add_epi32(dot, scaled);
        }
      }
    }

    void EndHalf(int /*half*/, const Scales<Avx2> (&/*scales*/)[kVectors]) {}

    Ints Dot(int v, int m, const Scales<Avx2>& scales, const ActBlock& a) const {
      if constexpr (T::kOffset == 0)
        return dots[v][m];
      else
        return _mm256_sub_epi32(dots[v][m],
                                Shl(MulPairs(scales.scales, a.half_sums), OffsetShift(T::kOffset)));
    }
  };

  template <class T, int kVectors, int kTokens>
  using DotTile = std::conditional_t<T::kHalfScales, HalvesTile<T, kVectors, kTokens>,
                                     WholeTile<T, kVectors, kTokens>>;
};

}  // namespace
}  // namespace mirage::kernels
