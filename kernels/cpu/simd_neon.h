// SPDX-License-Identifier: Apache-2.0
#pragma once

// Neon: the vector type of Armv8; a vector is 8 rows or 8 lanes in two registers. NeonDotprod and
// NeonI8mm differ in their integer dots only. The operations mean what those of simd_generic.h do.

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/quant_types.h"
#include "kernels/ops.h"
#include "kernels/vector_math.h"
#include "tensor/packed_rows.h"

namespace mirage::kernels {
namespace {

struct NeonFloats {
  float32x4_t v[2];
};
struct NeonInts {
  uint32x4_t v[2];
};

inline int8x16_t AsBytes(uint32x4_t x) { return vreinterpretq_s8_u32(x); }
inline int16x8_t AsPairs(uint32x4_t x) { return vreinterpretq_s16_u32(x); }
inline int32x4_t AsSigned(uint32x4_t x) { return vreinterpretq_s32_u32(x); }

// Operations on floats and on the bits of packed weights. V is the vector type that is built on it.
template <class V>
struct NeonBase {
  static constexpr int kLanes = 8;
  static constexpr int kGroups = 1;
  static constexpr int kTileTokens = 4;
  static constexpr int kTileVectors = 1;
  static constexpr int32_t kPanelTokens = 0;
  static constexpr bool kHalvesInTurn = false;
  static constexpr int kFloatVectors = 2;
  static constexpr int kAccumulators = 10;
  static constexpr int kAttentionTile = 5;

  using Floats = NeonFloats;
  using Ints = NeonInts;

  // ---- floats
  static Floats Set(float x) { return {{vdupq_n_f32(x), vdupq_n_f32(x)}}; }
  static Floats Load(const float* p) { return {{vld1q_f32(p), vld1q_f32(p + 4)}}; }
  static void Store(float* p, const Floats& x) {
    vst1q_f32(p, x.v[0]);
    vst1q_f32(p + 4, x.v[1]);
  }
  static float16x4_t HalvesAt(const uint16_t* p) { return vreinterpret_f16_u16(vld1_u16(p)); }
  static Floats LoadHalf(const uint16_t* p) {
    return {{vcvt_f32_f16(HalvesAt(p)), vcvt_f32_f16(HalvesAt(p + 4))}};
  }
  static Floats LoadBf16(const uint16_t* p) {
    return {{vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)),
             vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4), 16))}};
  }
  static Floats LoadBytes(const int8_t* p) { return FromWords(vmovl_s8(vld1_s8(p))); }
  // (byte >> shift & 15) - 8
  static Floats LoadNibbles(const uint8_t* p, int shift) {
    const uint8x8_t shifted = vshl_u8(vld1_u8(p), vdup_n_s8(static_cast<int8_t>(-shift)));
    const uint8x8_t nibbles = vand_u8(shifted, vdup_n_u8(15));
    return FromWords(vmovl_s8(vsub_s8(vreinterpret_s8_u8(nibbles), vdup_n_s8(8))));
  }
  static Floats FromWords(int16x8_t words) {
    return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(words))),
             vcvtq_f32_s32(vmovl_s16(vget_high_s16(words)))}};
  }
  static void StoreHalf(uint16_t* p, const Floats& x) {
    for (int i = 0; i < 2; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
  }
  static Floats Add(const Floats& a, const Floats& b) {
    return {{vaddq_f32(a.v[0], b.v[0]), vaddq_f32(a.v[1], b.v[1])}};
  }
  static Floats Sub(const Floats& a, const Floats& b) {
    return {{vsubq_f32(a.v[0], b.v[0]), vsubq_f32(a.v[1], b.v[1])}};
  }
  static Floats Mul(const Floats& a, const Floats& b) {
    return {{vmulq_f32(a.v[0], b.v[0]), vmulq_f32(a.v[1], b.v[1])}};
  }
  static Floats Div(const Floats& a, const Floats& b) {
    return {{vdivq_f32(a.v[0], b.v[0]), vdivq_f32(a.v[1], b.v[1])}};
  }
  static Floats Min(const Floats& a, const Floats& b) {
    return {{vminq_f32(a.v[0], b.v[0]), vminq_f32(a.v[1], b.v[1])}};
  }
  static Floats Max(const Floats& a, const Floats& b) {
    return {{vmaxq_f32(a.v[0], b.v[0]), vmaxq_f32(a.v[1], b.v[1])}};
  }
  static Floats MulAdd(const Floats& a, const Floats& b, const Floats& c) {
    return {{vfmaq_f32(c.v[0], a.v[0], b.v[0]), vfmaq_f32(c.v[1], a.v[1], b.v[1])}};
  }
  static Floats NegMulAdd(const Floats& a, const Floats& b, const Floats& c) {
    return {{vfmsq_f32(c.v[0], a.v[0], b.v[0]), vfmsq_f32(c.v[1], a.v[1], b.v[1])}};
  }
  static float ScalarMulAdd(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static Floats Abs(const Floats& x) { return {{vabsq_f32(x.v[0]), vabsq_f32(x.v[1])}}; }
  static Floats CopySign(const Floats& magnitude, const Floats& sign) {
    const uint32x4_t mask = vdupq_n_u32(0x80000000u);
    return {
        {vbslq_f32(mask, sign.v[0], magnitude.v[0]), vbslq_f32(mask, sign.v[1], magnitude.v[1])}};
  }
  static Floats PowerOfTwo(const Floats& t) {
    return AsFloats(AddInts(Shl(AsInts(t), 23), SetInts(0x3F800000u)));
  }
  static void StoreRounded(int8_t* p, const Floats& x) {
    const int16x8_t pairs =
        vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(x.v[0])), vqmovn_s32(vcvtnq_s32_f32(x.v[1])));
    vst1_s8(p, vqmovn_s16(pairs));
  }

  // ---- integers
  static Ints And(const Ints& x, uint32_t mask) {
    return {{vandq_u32(x.v[0], vdupq_n_u32(mask)), vandq_u32(x.v[1], vdupq_n_u32(mask))}};
  }
  static Ints Or(const Ints& a, const Ints& b) {
    return {{vorrq_u32(a.v[0], b.v[0]), vorrq_u32(a.v[1], b.v[1])}};
  }
  static Ints Xor(const Ints& a, const Ints& b) {
    return {{veorq_u32(a.v[0], b.v[0]), veorq_u32(a.v[1], b.v[1])}};
  }
  static Ints Shl(const Ints& x, int n) {
    const int32x4_t count = vdupq_n_s32(n);
    return {{vshlq_u32(x.v[0], count), vshlq_u32(x.v[1], count)}};
  }
  static Ints Shr(const Ints& x, int n) { return Shl(x, -n); }
  static Ints SetInts(uint32_t x) { return {{vdupq_n_u32(x), vdupq_n_u32(x)}}; }
  static Ints AddInts(const Ints& a, const Ints& b) {
    return {{vaddq_u32(a.v[0], b.v[0]), vaddq_u32(a.v[1], b.v[1])}};
  }
  static Ints SubInts(const Ints& a, const Ints& b) {
    return {{vsubq_u32(a.v[0], b.v[0]), vsubq_u32(a.v[1], b.v[1])}};
  }
  static Ints SubPairs(const Ints& a, const Ints& b) {
    Ints out;
    for (int i = 0; i < 2; ++i)
      out.v[i] = vreinterpretq_u32_s16(vsubq_s16(AsPairs(a.v[i]), AsPairs(b.v[i])));
    return out;
  }
  static Ints Lookup(const Ints& nibbles, const int8_t (&table)[16]) {
    const int8x16_t entries = vld1q_s8(table);
    Ints out;
    for (int i = 0; i < 2; ++i)
      out.v[i] = vreinterpretq_u32_s8(vqtbl1q_s8(entries, vreinterpretq_u8_u32(nibbles.v[i])));
    return out;
  }
  static Floats ToFloats(const Ints& x) {
    return {{vcvtq_f32_s32(AsSigned(x.v[0])), vcvtq_f32_s32(AsSigned(x.v[1]))}};
  }
  static Floats AsFloats(const Ints& x) {
    return {{vreinterpretq_f32_u32(x.v[0]), vreinterpretq_f32_u32(x.v[1])}};
  }
  static Ints AsInts(const Floats& x) {
    return {{vreinterpretq_u32_f32(x.v[0]), vreinterpretq_u32_f32(x.v[1])}};
  }
  static Ints MulPairs(const Ints& a, const int16_t* b) {
    Ints out;
    for (int i = 0; i < 2; ++i) {
      const int32x4_t pairs = AsSigned(a.v[i]);
      const int32x4_t low = vmulq_n_s32(vshrq_n_s32(vshlq_n_s32(pairs, 16), 16), b[0]);
      out.v[i] = vreinterpretq_u32_s32(vmlaq_n_s32(low, vshrq_n_s32(pairs, 16), b[1]));
    }
    return out;
  }

  // ---- weights
  struct Rows {
    const std::byte* p;
    Rows(const std::byte* groups, int64_t /*group_bytes*/) : p(groups) {}
  };
  static Ints Words(const Rows& w, int offset) {
    const auto* p = reinterpret_cast<const uint8_t*>(w.p + offset);
    return {{vreinterpretq_u32_u8(vld1q_u8(p)), vreinterpretq_u32_u8(vld1q_u8(p + 16))}};
  }
  static Ints Halfwords(const Rows& w, int offset) {
    const uint16x8_t words =
        vreinterpretq_u16_u8(vld1q_u8(reinterpret_cast<const uint8_t*>(w.p + offset)));
    return {{vmovl_u16(vget_low_u16(words)), vmovl_u16(vget_high_u16(words))}};
  }
  static Ints Bytes(const Rows& w, int offset) {
    const uint16x8_t words = vmovl_u8(vld1_u8(reinterpret_cast<const uint8_t*>(w.p + offset)));
    return {{vmovl_u16(vget_low_u16(words)), vmovl_u16(vget_high_u16(words))}};
  }
  static Floats Halves(const Rows& w, int offset) {
    uint16_t bits[8];
    std::memcpy(bits, w.p + offset, sizeof bits);
    return LoadHalf(bits);
  }
  template <DType kType>
  static Floats LoadColumn(const std::byte* column, int64_t /*group_bytes*/) {
    if constexpr (kType == DType::kF32) {
      float values[8];
      std::memcpy(values, column, sizeof values);
      return Load(values);
    } else {
      uint16_t bits[8];
      std::memcpy(bits, column, sizeof bits);
      return kType == DType::kF16 ? LoadHalf(bits) : LoadBf16(bits);
    }
  }

  // ---- integer dots: weights are made signed
  template <class T>
  static Ints Centred(const Ints& quad) {
    if constexpr (T::kOffset == 0) return quad;
    const int8x16_t offset = vdupq_n_s8(T::kOffset);
    return {{vreinterpretq_u32_s8(vsubq_s8(AsBytes(quad.v[0]), offset)),
             vreinterpretq_u32_s8(vsubq_s8(AsBytes(quad.v[1]), offset))}};
  }
  // The sums of the halves, each times its scale where the type has one. `halves` are 1 or 2.
  template <class T, int kParts>
  static Ints Combine(const int32x4_t (&sums)[2][kParts], const Scales<V>& scales) {
    Ints out;
    for (int i = 0; i < 2; ++i) {
      int32x4_t dot = sums[i][0];
      if constexpr (kParts == 2) {
        const int32x4_t pairs = AsSigned(scales.scales.v[i]);
        dot = vmulq_s32(dot, vshrq_n_s32(vshlq_n_s32(pairs, 16), 16));
        dot = vmlaq_s32(dot, sums[i][1], vshrq_n_s32(pairs, 16));
      }
      out.v[i] = vreinterpretq_u32_s32(dot);
    }
    return out;
  }
};

inline int8x16_t QuadAt(const int8_t* values) {
  int32_t quad;
  std::memcpy(&quad, values, sizeof quad);
  return vreinterpretq_s8_s32(vdupq_n_s32(quad));
}

// Armv8.0: products to 16 bits, which hold 8 of them where |weight| <= 32, else 2.
struct Neon : NeonBase<Neon> {
  static constexpr int kTileTokens = 2;

  template <class T, int kVectors, int kTokens>
  struct DotTile {
    static constexpr int kParts = T::kHalfScales ? 2 : 1;
    static constexpr bool kWide = T::kSigned;        // weights of 8 bits
    int32x4_t sums32[kVectors][kTokens][4][kParts];  // rows 2i and 2i + 1, two sums each
    int16x8_t sums16[kVectors][kTokens][4][kParts];

    DotTile(const ActBlock*, int64_t) {}  // step 0 sets what later steps add to

    void Add(const Quads<Neon> (&quads)[kVectors], int k, const ActBlock* x, int64_t x_stride) {
      for (int v = 0; v < kVectors; ++v) {
        const Ints low = Centred<T>(quads[v].low);
        const Ints high = Centred<T>(quads[v].high);
#pragma GCC unroll 4
        for (int m = 0; m < kTokens; ++m) {
          const int8x16_t a_low = QuadAt(x[m * x_stride].values + 4 * k);
          const int8x16_t a_high = QuadAt(x[m * x_stride].values + 16 + 4 * k);
#pragma GCC unroll 4
          for (int i = 0; i < 4; ++i)
            AddRows(low.v[i / 2], high.v[i / 2], a_low, a_high, i % 2 == 1, k, sums16[v][m][i],
                    sums32[v][m][i]);
        }
      }
    }

    Ints Dot(int v, int m, const Scales<Neon>& scales, const ActBlock& /*a*/) const {
      int32x4_t sums[2][kParts];
      for (int i = 0; i < 2; ++i)
        for (int part = 0; part < kParts; ++part)
          sums[i][part] = vpaddq_s32(sums32[v][m][2 * i][part], sums32[v][m][2 * i + 1][part]);
      return Combine<T, kParts>(sums, scales);
    }

   private:
    static int16x8_t Product(uint32x4_t w, int8x16_t a, bool second) {
      return second ? vmull_high_s8(AsBytes(w), a)
                    : vmull_s8(vget_low_s8(AsBytes(w)), vget_low_s8(a));
    }
    static void AddRows(uint32x4_t low, uint32x4_t high, int8x16_t a_low, int8x16_t a_high,
                        bool second, int k, int16x8_t (&sum16)[kParts],
                        int32x4_t (&sum32)[kParts]) {
      const int16x8_t products[2] = {Product(low, a_low, second), Product(high, a_high, second)};
#pragma GCC unroll 2
      for (int part = 0; part < kParts; ++part) {
        const int16x8_t product =
            kParts == 2 ? products[part] : vaddq_s16(products[0], products[1]);
        if (kWide) {
          sum32[part] = k == 0 ? vpaddlq_s16(product) : vpadalq_s16(sum32[part], product);
        } else {
          sum16[part] = k == 0 ? product : vaddq_s16(sum16[part], product);
          if (k == 3) sum32[part] = vpaddlq_s16(sum16[part]);
        }
      }
    }
  };
};

#if defined(__ARM_FEATURE_DOTPROD)

// FEAT_DotProd: four products to 32 bits in one instruction. V is the vector type.
template <class V, class T, int kVectors, int kTokens>
struct DotprodTile {
  static constexpr int kParts = T::kHalfScales ? 2 : 1;
  int32x4_t sums[kVectors][kTokens][2][kParts];

  DotprodTile(const ActBlock*, int64_t) {
    for (auto& vector : sums)
      for (auto& token : vector)
        for (auto& rows : token)
          for (int32x4_t& sum : rows) sum = vdupq_n_s32(0);
  }

  void Add(const Quads<V> (&quads)[kVectors], int k, const ActBlock* x, int64_t x_stride) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const NeonInts low = V::template Centred<T>(quads[v].low);
      const NeonInts high = V::template Centred<T>(quads[v].high);
#pragma GCC unroll 8
      for (int m = 0; m < kTokens; ++m) {
        const int8x16_t a_low = QuadAt(x[m * x_stride].values + 4 * k);
        const int8x16_t a_high = QuadAt(x[m * x_stride].values + 16 + 4 * k);
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
          int32x4_t(&sum)[kParts] = sums[v][m][i];
          sum[0] = vdotq_s32(sum[0], AsBytes(low.v[i]), a_low);
          sum[kParts - 1] = vdotq_s32(sum[kParts - 1], AsBytes(high.v[i]), a_high);
        }
      }
    }
  }

  NeonInts Dot(int v, int m, const Scales<V>& scales, const ActBlock& /*a*/) const {
    return V::template Combine<T, kParts>(sums[v][m], scales);
  }
};

struct NeonDotprod : NeonBase<NeonDotprod> {
  template <class T, int kVectors, int kTokens>
  using DotTile = DotprodTile<NeonDotprod, T, kVectors, kTokens>;
};

#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)

// FEAT_I8MM: smmla multiplies 2 rows of 8 weights by 2 tokens of 8 activations. The 8 are quads k
// and k + 4.
template <class V, class T, int kVectors, int kTokens>
struct I8mmTile {
  static constexpr int kPairs = kTokens / 2;
  int32x4_t sums[kVectors][kPairs][4];  // rows 2i and 2i + 1 by the tokens of a pair
  int8x16_t a[kPairs][4];               // quads k and k + 4 of both tokens

  I8mmTile(const ActBlock* x, int64_t x_stride) {
#pragma GCC unroll 4
    for (int pair = 0; pair < kPairs; ++pair) {
      int64x2_t quads[2][2];
      for (int t = 0; t < 2; ++t) {
        const int8_t* values = x[(2 * pair + t) * x_stride].values;
        const int32x4_t low = vreinterpretq_s32_s8(vld1q_s8(values));
        const int32x4_t high = vreinterpretq_s32_s8(vld1q_s8(values + 16));
        quads[t][0] = vreinterpretq_s64_s32(vzip1q_s32(low, high));
        quads[t][1] = vreinterpretq_s64_s32(vzip2q_s32(low, high));
      }
      for (int h = 0; h < 2; ++h) {
        a[pair][2 * h] = vreinterpretq_s8_s64(vzip1q_s64(quads[0][h], quads[1][h]));
        a[pair][2 * h + 1] = vreinterpretq_s8_s64(vzip2q_s64(quads[0][h], quads[1][h]));
      }
    }
    for (auto& vector : sums)
      for (auto& pair : vector)
        for (int32x4_t& sum : pair) sum = vdupq_n_s32(0);
  }

  void Add(const Quads<V> (&quads)[kVectors], int k, const ActBlock* /*x*/, int64_t /*x_stride*/) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const NeonInts low = V::template Centred<T>(quads[v].low);
      const NeonInts high = V::template Centred<T>(quads[v].high);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const uint32x4_t rows = i % 2 == 0 ? vzip1q_u32(low.v[i / 2], high.v[i / 2])
                                           : vzip2q_u32(low.v[i / 2], high.v[i / 2]);
#pragma GCC unroll 4
        for (int pair = 0; pair < kPairs; ++pair)
          sums[v][pair][i] = vmmlaq_s32(sums[v][pair][i], AsBytes(rows), a[pair][k]);
      }
    }
  }

  NeonInts Dot(int v, int m, const Scales<V>& /*scales*/, const ActBlock& /*a*/) const {
    NeonInts out;
    for (int i = 0; i < 2; ++i) {
      const int32x4_t first = sums[v][m / 2][2 * i];
      const int32x4_t second = sums[v][m / 2][2 * i + 1];
      out.v[i] =
          vreinterpretq_u32_s32(m % 2 == 0 ? vuzp1q_s32(first, second) : vuzp2q_s32(first, second));
    }
    return out;
  }
};

struct NeonI8mm : NeonBase<NeonI8mm> {
  static constexpr int kTileTokens = 8;
  // Halves with scales of their own do not share an smmla, and it takes tokens in pairs.
  template <class T, int kVectors, int kTokens>
  using DotTile = std::conditional_t<T::kHalfScales || kTokens % 2 != 0,
                                     DotprodTile<NeonI8mm, T, kVectors, kTokens>,
                                     I8mmTile<NeonI8mm, T, kVectors, kTokens>>;
};

#endif

}  // namespace
}  // namespace mirage::kernels
