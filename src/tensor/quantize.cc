// SPDX-License-Identifier: Apache-2.0

#include "tensor/quantize.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <span>

#include "base/half.h"
#include "tensor/quant/blocks.h"
#include "tensor/scale_search.h"

namespace mirage::tensor {
namespace {

// The element of greatest magnitude, with its sign: a signed range such as [-8, 7] reaches one step
// further down than up, so the scale is given the sign that puts this element at the far end.
float Extreme(std::span<const float> x) {
  return *std::max_element(x.begin(), x.end(),
                           [](float a, float b) { return std::fabs(a) < std::fabs(b); });
}

// The nearest code of x / scale in [low, high]; the code of 0 when the scale is 0.
int Code(float x, float scale, int low, int high) {
  if (scale == 0.0f) return std::clamp(0, low, high);
  return static_cast<int>(
      std::nearbyint(std::clamp(x / scale, static_cast<float>(low), static_cast<float>(high))));
}

// Scales are rounded to half first and codes are taken against what a reader will see.
struct HalfScale {
  explicit HalfScale(float wanted) : bits(FloatToHalf(wanted)), value(HalfToFloat(bits)) {}
  uint16_t bits;
  float value;
};

void Encode(const float* x, BlockF32& block) { block.value = *x; }
void Encode(const float* x, BlockF16& block) { block.bits = FloatToHalf(*x); }
void Encode(const float* x, BlockBF16& block) { block.bits = FloatToBf16(*x); }

void Encode(const float* x, BlockQ4_0& block) {
  const HalfScale d(Extreme({x, 32}) / -8);
  block.d = d.bits;
  for (int i = 0; i < 32; ++i) PutBits(block.qs, NibblePlace(i), Code(x[i], d.value, -8, 7) + 8);
}

void Encode(const float* x, BlockQ5_0& block) {
  const HalfScale d(Extreme({x, 32}) / -16);
  block.d = d.bits;
  for (int i = 0; i < 32; ++i) {
    const int q = Code(x[i], d.value, -16, 15) + 16;
    PutBits(block.qs, NibblePlace(i), q & 15);
    PutBits(block.qh, FifthBitPlace(i), q >> 4);
  }
}

void Encode(const float* x, BlockQ4_1& block) {
  const auto [min, max] = std::minmax_element(x, x + 32);
  const HalfScale d((*max - *min) / 15);
  const HalfScale m(*min);
  block.d = d.bits;
  block.m = m.bits;
  for (int i = 0; i < 32; ++i)
    PutBits(block.qs, NibblePlace(i), Code(x[i] - m.value, d.value, 0, 15));
}

void Encode(const float* x, BlockQ5_1& block) {
  const auto [min, max] = std::minmax_element(x, x + 32);
  const HalfScale d((*max - *min) / 31);
  const HalfScale m(*min);
  block.d = d.bits;
  block.m = m.bits;
  for (int i = 0; i < 32; ++i) {
    const int q = Code(x[i] - m.value, d.value, 0, 31);
    PutBits(block.qs, NibblePlace(i), q & 15);
    PutBits(block.qh, FifthBitPlace(i), q >> 4);
  }
}

void Encode(const float* x, BlockQ8_0& block) {
  const HalfScale d(std::fabs(Extreme({x, 32})) / 127);
  block.d = d.bits;
  for (int i = 0; i < 32; ++i) block.qs[i] = static_cast<int8_t>(Code(x[i], d.value, -127, 127));
}

// Scales and minimums of all groups of a block of x = d * scale * q - dmin * min, q in [0, q_max].
// Minimums are not negative, so the range of a group always reaches down to 0 at least.
template <int kGroups>
struct AffineGroups {
  AffineGroups(const float* x, int q_max, int scale_max) : d(0), dmin(0) {
    constexpr int kGroupElements = 256 / kGroups;
    float wanted_scale[kGroups];
    float wanted_min[kGroups];
    for (int g = 0; g < kGroups; ++g) {
      const AffineFit fit = FitAffine({x + g * kGroupElements, kGroupElements}, q_max);
      wanted_min[g] = fit.min;
      wanted_scale[g] = fit.scale;
    }
    const auto limit = static_cast<float>(scale_max);
    d = HalfScale(*std::max_element(wanted_scale, wanted_scale + kGroups) / limit);
    dmin = HalfScale(*std::max_element(wanted_min, wanted_min + kGroups) / limit);
    for (int g = 0; g < kGroups; ++g)
      packed[g] = {Code(wanted_scale[g], d.value, 0, scale_max),
                   Code(wanted_min[g], dmin.value, 0, scale_max)};
  }

  [[nodiscard]] int Quantize(float x, int group, int q_max) const {
    const float min = dmin.value * static_cast<float>(packed[group].min);
    return Code(x + min, d.value * static_cast<float>(packed[group].scale), 0, q_max);
  }

  HalfScale d;
  HalfScale dmin;
  ScaleMin packed[kGroups];
};

void Encode(const float* x, BlockQ2_K& block) {
  const AffineGroups<16> groups(x, 3, 15);
  block.d = groups.d.bits;
  block.dmin = groups.dmin.bits;
  for (int g = 0; g < 16; ++g)
    block.scales[g] = static_cast<uint8_t>(groups.packed[g].scale | groups.packed[g].min << 4);
  for (int i = 0; i < 256; ++i) PutBits(block.qs, TwoBitPlace(i), groups.Quantize(x[i], i / 16, 3));
}

void Encode(const float* x, BlockQ4_K& block) {
  const AffineGroups<8> groups(x, 15, 63);
  block.d = groups.d.bits;
  block.dmin = groups.dmin.bits;
  for (int g = 0; g < 8; ++g) PutScaleMin(block.scales, g, groups.packed[g]);
  for (int i = 0; i < 256; ++i)
    PutBits(block.qs, FourBitPlace(i), groups.Quantize(x[i], i / 32, 15));
}

void Encode(const float* x, BlockQ5_K& block) {
  const AffineGroups<8> groups(x, 31, 63);
  block.d = groups.d.bits;
  block.dmin = groups.dmin.bits;
  for (int g = 0; g < 8; ++g) PutScaleMin(block.scales, g, groups.packed[g]);
  for (int i = 0; i < 256; ++i) {
    const int q = groups.Quantize(x[i], i / 32, 31);
    PutBits(block.qs, FourBitPlace(i), q & 15);
    PutBits(block.qh, TopBitPlace(i), q >> 4);
  }
}

// Scales of all groups of a block of x = d * scale * q, q_least the code at the far end of the
// signed range and scale in [scale_least, -scale_least - 1].
template <int kGroups>
struct SignedGroups {
  SignedGroups(const float* x, int q_least, int scale_least) : d(0) {
    constexpr int kGroupElements = 256 / kGroups;
    float wanted[kGroups];
    for (int g = 0; g < kGroups; ++g) {
      const std::span<const float> group(x + g * kGroupElements, kGroupElements);
      wanted[g] = FitSigned(group, Extreme(group), q_least);
    }
    d = HalfScale(Extreme(wanted) / static_cast<float>(scale_least));
    for (int g = 0; g < kGroups; ++g)
      scale[g] = Code(wanted[g], d.value, scale_least, -scale_least - 1);
  }

  [[nodiscard]] float GroupScale(int group) const {
    return d.value * static_cast<float>(scale[group]);
  }

  HalfScale d;
  int scale[kGroups];
};

void Encode(const float* x, BlockQ3_K& block) {
  const SignedGroups<16> groups(x, -4, -32);
  block.d = groups.d.bits;
  for (int g = 0; g < 16; ++g) {
    const int biased = groups.scale[g] + 32;
    PutBits(block.scales, Q3ScaleLowPlace(g), biased & 15);
    PutBits(block.scales, Q3ScaleHighPlace(g), biased >> 4);
  }
  for (int i = 0; i < 256; ++i) {
    const int q = Code(x[i], groups.GroupScale(i / 16), -4, 3) + 4;
    PutBits(block.qs, TwoBitPlace(i), q & 3);
    PutBits(block.hmask, TopBitPlace(i), q >> 2);
  }
}

void Encode(const float* x, BlockQ6_K& block) {
  const SignedGroups<16> groups(x, -32, -128);
  block.d = groups.d.bits;
  for (int g = 0; g < 16; ++g) block.scales[g] = static_cast<int8_t>(groups.scale[g]);
  for (int i = 0; i < 256; ++i) {
    const int q = Code(x[i], groups.GroupScale(i / 16), -32, 31) + 32;
    PutBits(block.ql, LowSixPlace(i), q & 15);
    PutBits(block.qh, HighSixPlace(i), q >> 4);
  }
}

// The index of the value nearest to x / scale among `values`; the one nearest to 0 when the scale
// is 0.
template <typename T>
int Nearest(float x, float scale, std::span<const T> values) {
  const float wanted = scale == 0.0f ? 0.0f : x / scale;
  int best = 0;
  for (int i = 1; i < static_cast<int>(values.size()); ++i)
    if (std::fabs(wanted - static_cast<float>(values[i])) <
        std::fabs(wanted - static_cast<float>(values[best])))
      best = i;
  return best;
}

void Encode(const float* x, BlockIQ4_NL& block) {
  const HalfScale d(Extreme({x, 32}) / kIq4Levels[0]);
  block.d = d.bits;
  for (int i = 0; i < 32; ++i)
    PutBits(block.qs, NibblePlace(i), Nearest<int8_t>(x[i], d.value, kIq4Levels));
}

void Encode(const float* x, BlockIQ4_XS& block) {
  const SignedGroups<8> groups(x, kIq4Levels[0], -32);
  block.d = groups.d.bits;
  for (int g = 0; g < 8; ++g) {
    const int biased = groups.scale[g] + 32;
    PutBits(block.scales_l, Iq4XsScaleLowPlace(g), biased & 15);
    block.scales_h = static_cast<uint16_t>(block.scales_h | (biased >> 4) << 2 * g);
  }
  for (int i = 0; i < 256; ++i)
    PutBits(block.qs, Iq4XsPlace(i), Nearest<int8_t>(x[i], groups.GroupScale(i / 32), kIq4Levels));
}

// The OCP specification's conversion: the greatest element gets the greatest exponent that E2M1 has
// (2) and may saturate at 6.
void Encode(const float* x, BlockMXFP4& block) {
  constexpr int kGreatestExponent = 2;
  const float extreme = std::fabs(Extreme({x, 32}));
  const int e = extreme == 0.0f ? 0 : std::ilogb(extreme) - kGreatestExponent + 127;
  block.e = static_cast<uint8_t>(std::clamp(e, 0, 254));
  for (int i = 0; i < 32; ++i)
    PutBits(block.qs, NibblePlace(i), Nearest<float>(x[i], E8m0ToFloat(block.e), kE2m1Values));
}

template <typename Block>
void EncodeRow(const float* src, std::byte* dst, int64_t n) {
  assert(n % Block::kElements == 0);
  for (int64_t i = 0; i < n; i += Block::kElements, dst += sizeof(Block)) {
    Block block{};
    Encode(src + i, block);
    std::memcpy(dst, &block, sizeof(block));
  }
}

}  // namespace

void QuantizeRow(DType dtype, const float* src, std::byte* dst, int64_t n) {
  assert(Info(dtype).supported);
  VisitBlock(dtype,
             [&]<typename Block>(std::type_identity<Block>) { EncodeRow<Block>(src, dst, n); });
}

}  // namespace mirage::tensor
