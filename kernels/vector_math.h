// SPDX-License-Identifier: Apache-2.0
#pragma once

// The functions of one variable that ops share, written once over a vector type, so that a full
// vector, a tail and the scalar reference give the same bits.
//
// A vector type V has: Floats (kLanes of them), Set(float), Add, Sub, Mul, Div, Min, Max, MulAdd(a,
// b, c) = a * b + c (fused where the instruction set has it), NegMulAdd(a, b, c) = c - a * b,
// PowerOfTwo(t) (below), CopySign(magnitude, sign) and Abs.

#include <bit>
#include <cmath>
#include <cstdint>

namespace mirage::kernels {

// Adding 1.5 * 2^23 to |x| < 2^22 rounds it to an integer (ties to even), which then stands in the
// sum's low bits.
inline constexpr float kRoundingBias = 12582912.0f;

// e^x with a relative error below 2 ulp; x is first clamped to [-87.33, 88.02], where the result is
// normal. Cody-Waite reduction by ln 2 and the polynomial of Cephes' expf.
template <typename V>
inline typename V::Floats Exp(typename V::Floats x) {
  x = V::Max(V::Set(-87.33f), V::Min(V::Set(88.02f), x));  // in this order a NaN stays
  const auto biased = V::MulAdd(x, V::Set(1.44269504088896341f), V::Set(kRoundingBias));
  const auto n = V::Sub(biased, V::Set(kRoundingBias));
  auto r = V::NegMulAdd(n, V::Set(0.693359375f), x);
  r = V::NegMulAdd(n, V::Set(-2.12194440e-4f), r);
  auto p = V::Set(1.9875691500e-4f);
  p = V::MulAdd(p, r, V::Set(1.3981999507e-3f));
  p = V::MulAdd(p, r, V::Set(8.3334519073e-3f));
  p = V::MulAdd(p, r, V::Set(4.1665795894e-2f));
  p = V::MulAdd(p, r, V::Set(1.6666665459e-1f));
  p = V::MulAdd(p, r, V::Set(5.0000001201e-1f));
  p = V::MulAdd(V::Mul(p, r), r, V::Add(r, V::Set(1.0f)));
  return V::Mul(p, V::PowerOfTwo(biased));
}

// x / (1 + e^-x).
template <typename V>
inline typename V::Floats Silu(typename V::Floats x) {
  return V::Div(x, V::Add(V::Set(1.0f), Exp<V>(V::Sub(V::Set(0.0f), x))));
}

// 0.5 x (1 + tanh(u)) = x / (1 + e^-2u) with u = sqrt(2 / pi) (x + 0.044715 x^3).
template <typename V>
inline typename V::Floats GeluTanh(typename V::Floats x) {
  const auto minus_two_u_over_x = V::MulAdd(V::Mul(x, x), V::Set(-2.0f * 0.7978845608f * 0.044715f),
                                            V::Set(-2.0f * 0.7978845608f));
  return V::Div(x, V::Add(V::Set(1.0f), Exp<V>(V::Mul(x, minus_two_u_over_x))));
}

// tanh(x) = sign(x) (1 - t) / (1 + t) with t = e^-2|x|; absolute error below 2e-7.
template <typename V>
inline typename V::Floats Tanh(typename V::Floats x) {
  const auto t = Exp<V>(V::Mul(V::Abs(x), V::Set(-2.0f)));
  const auto one = V::Set(1.0f);
  return V::CopySign(V::Div(V::Sub(one, t), V::Add(one, t)), x);
}

// cap * tanh(x / cap).
template <typename V>
inline typename V::Floats Softcap(typename V::Floats x, float cap) {
  return V::Mul(V::Set(cap), Tanh<V>(V::Div(x, V::Set(cap))));
}

// 2^n, where t is kRoundingBias + n and -127 < n < 128: n's low bits moved into the exponent field.
[[nodiscard]] constexpr uint32_t PowerOfTwoBits(uint32_t t_bits) {
  return (t_bits << 23) + 0x3F800000u;
}

// One lane with a true fma: the vector type of the reference.
struct ScalarFma {
  using Floats = float;
  static constexpr int kLanes = 1;
  static float Set(float x) { return x; }
  static float Add(float a, float b) { return a + b; }
  static float Sub(float a, float b) { return a - b; }
  static float Mul(float a, float b) { return a * b; }
  static float Div(float a, float b) { return a / b; }
  static float Min(float a, float b) { return a < b ? a : b; }
  static float Max(float a, float b) { return a > b ? a : b; }
  static float MulAdd(float a, float b, float c) { return std::fma(a, b, c); }
  static float NegMulAdd(float a, float b, float c) { return std::fma(-a, b, c); }
  static float Abs(float x) { return std::fabs(x); }
  static float CopySign(float magnitude, float sign) { return std::copysign(magnitude, sign); }
  static float PowerOfTwo(float t) {
    return std::bit_cast<float>(PowerOfTwoBits(std::bit_cast<uint32_t>(t)));
  }
};

}  // namespace mirage::kernels
