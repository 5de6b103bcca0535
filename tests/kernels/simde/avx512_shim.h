// SPDX-License-Identifier: Apache-2.0
#pragma once

// AVX-512 intrinsics on a processor that has AVX2 only: SIMDe's, and those that SIMDe 0.7.4 lacks,
// each made of two AVX2 halves. For tests: it shows that the AVX-512 kernels compute what they
// should, not that they are fast.

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <immintrin.h>
#include <simde/x86/avx512.h>

#include <cstdint>
#include <cstring>

namespace mirage::kernels {
namespace {

template <typename Whole, typename Half>
Whole JoinHalves(Half low, Half high) {
  static_assert(sizeof(Whole) == 2 * sizeof(Half));
  Whole whole;
  std::memcpy(&whole, &low, sizeof low);
  std::memcpy(reinterpret_cast<char*>(&whole) + sizeof low, &high, sizeof high);
  return whole;
}
template <typename Half, typename Whole>
Half HalfOf(const Whole& whole, int half) {
  Half out;
  std::memcpy(&out, reinterpret_cast<const char*>(&whole) + half * sizeof(Half), sizeof out);
  return out;
}

inline __m512 ShimCvtPhPs(__m256i x) {
  return JoinHalves<__m512>(_mm256_cvtph_ps(HalfOf<__m128i>(x, 0)),
                            _mm256_cvtph_ps(HalfOf<__m128i>(x, 1)));
}
inline __m256i ShimCvtPsPh(__m512 x) {
  return JoinHalves<__m256i>(_mm256_cvtps_ph(HalfOf<__m256>(x, 0), _MM_FROUND_TO_NEAREST_INT),
                             _mm256_cvtps_ph(HalfOf<__m256>(x, 1), _MM_FROUND_TO_NEAREST_INT));
}
inline __m512 ShimCvtEpi32Ps(__m512i x) {
  return JoinHalves<__m512>(_mm256_cvtepi32_ps(HalfOf<__m256i>(x, 0)),
                            _mm256_cvtepi32_ps(HalfOf<__m256i>(x, 1)));
}
inline __m512i ShimCvtPsEpi32(__m512 x) {
  return JoinHalves<__m512i>(_mm256_cvtps_epi32(HalfOf<__m256>(x, 0)),
                             _mm256_cvtps_epi32(HalfOf<__m256>(x, 1)));
}
inline __m512i ShimCvtEpu16Epi32(__m256i x) {
  return JoinHalves<__m512i>(_mm256_cvtepu16_epi32(HalfOf<__m128i>(x, 0)),
                             _mm256_cvtepu16_epi32(HalfOf<__m128i>(x, 1)));
}
inline __m512i ShimCvtEpu8Epi32(__m128i x) {
  return JoinHalves<__m512i>(_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8)));
}
inline __m512i ShimCvtEpi8Epi32(__m128i x) {
  return JoinHalves<__m512i>(_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128(x, 8)));
}
inline __m512i ShimMaddEpi16(__m512i a, __m512i b) {
  return JoinHalves<__m512i>(_mm256_madd_epi16(HalfOf<__m256i>(a, 0), HalfOf<__m256i>(b, 0)),
                             _mm256_madd_epi16(HalfOf<__m256i>(a, 1), HalfOf<__m256i>(b, 1)));
}

inline __m512i ShimSraiEpi32(__m512i x, int n) {
  return JoinHalves<__m512i>(_mm256_srai_epi32(HalfOf<__m256i>(x, 0), n),
                             _mm256_srai_epi32(HalfOf<__m256i>(x, 1), n));
}
inline __m128i ShimCvtEpi32Epi8(__m512i x) {
  int32_t words[16];
  int8_t bytes[16];
  std::memcpy(words, &x, sizeof words);
  for (int i = 0; i < 16; ++i) bytes[i] = static_cast<int8_t>(words[i]);
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
}

}  // namespace
}  // namespace mirage::kernels

#undef _mm512_cvtph_ps
#undef _mm512_cvtps_ph
#undef _mm512_cvtepi32_ps
#undef _mm512_cvtps_epi32
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtepu8_epi32
#undef _mm512_cvtepi8_epi32
#undef _mm512_madd_epi16
#undef _mm512_srai_epi32
#undef _mm512_cvtepi32_epi8
#define _mm512_cvtph_ps(x) ShimCvtPhPs(x)
#define _mm512_cvtps_ph(x, rounding) ShimCvtPsPh(x)
#define _mm512_cvtepi32_ps(x) ShimCvtEpi32Ps(x)
#define _mm512_cvtps_epi32(x) ShimCvtPsEpi32(x)
#define _mm512_cvtepu16_epi32(x) ShimCvtEpu16Epi32(x)
#define _mm512_cvtepu8_epi32(x) ShimCvtEpu8Epi32(x)
#define _mm512_cvtepi8_epi32(x) ShimCvtEpi8Epi32(x)
#define _mm512_madd_epi16(a, b) ShimMaddEpi16(a, b)
#define _mm512_srai_epi32(x, n) ShimSraiEpi32(x, static_cast<int>(n))
#define _mm512_cvtepi32_epi8(x) ShimCvtEpi32Epi8(x)
