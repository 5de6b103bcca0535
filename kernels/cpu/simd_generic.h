// SPDX-License-Identifier: Apache-2.0
#pragma once

// Generic: the vector type of any processor, 8 lanes in plain arrays. It has no fused multiply-add,
// so its results differ from the other tables' in the last bits. What it offers is what a
// vector type has to.

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "kernels/cpu/quant_types.h"
#include "kernels/ops.h"
#include "kernels/vector_math.h"
#include "tensor/packed_rows.h"

namespace mirage::kernels {
namespace {

struct Generic {
  static constexpr int kLanes = 8;
  static constexpr int kGroups = 1;
  static constexpr int kTileTokens = 2;         // the most tokens of a matmul tile
  static constexpr int kTileVectors = 1;        // and its vectors of rows
  static constexpr int32_t kPanelTokens = 0;    // of QuantPanel; 0: tiles alone
  static constexpr bool kHalvesInTurn = false;  // AddHalves() of matmul_tiles.h
  static constexpr int kFloatVectors = 1;       // the same for float weights, by 4 tokens
  static constexpr int kAccumulators = 4;       // vectors of sums an attention tile may hold
  static constexpr int kAttentionTile = 2;      // query rows of an attention tile

  struct Floats {
    float v[8];
  };
  struct Ints {
    uint32_t v[8];
  };

  // ---- floats
  template <typename F>
  static Floats Map(F f) {
    Floats out;
    for (int i = 0; i < 8; ++i) out.v[i] = f(i);
    return out;
  }
  static Floats Set(float x) {
    return Map([=](int) { return x; });
  }
  static Floats Load(const float* p) {
    return Map([=](int i) { return p[i]; });
  }
  static void Store(float* p, const Floats& x) { std::memcpy(p, x.v, sizeof x.v); }
  static Floats LoadHalf(const uint16_t* p) {
    return Map([=](int i) { return HalfToFloat(p[i]); });
  }
  static Floats LoadBf16(const uint16_t* p) {
    return Map([=](int i) { return Bf16ToFloat(p[i]); });
  }
  static Floats LoadBytes(const int8_t* p) {
    return Map([=](int i) { return static_cast<float>(p[i]); });
  }
  // (byte >> shift & 15) - 8
  static Floats LoadNibbles(const uint8_t* p, int shift) {
    return Map([=](int i) { return static_cast<float>((p[i] >> shift & 15) - 8); });
  }
  static void StoreHalf(uint16_t* p, const Floats& x) {
    for (int i = 0; i < 8; ++i) p[i] = FloatToHalf(x.v[i]);
  }
  static Floats Add(const Floats& a, const Floats& b) {
    return Map([&](int i) { return a.v[i] + b.v[i]; });
  }
  static Floats Sub(const Floats& a, const Floats& b) {
    return Map([&](int i) { return a.v[i] - b.v[i]; });
  }
  static Floats Mul(const Floats& a, const Floats& b) {
    return Map([&](int i) { return a.v[i] * b.v[i]; });
  }
  static Floats Div(const Floats& a, const Floats& b) {
    return Map([&](int i) { return a.v[i] / b.v[i]; });
  }
  static Floats Min(const Floats& a, const Floats& b) {
    return Map([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Floats Max(const Floats& a, const Floats& b) {
    return Map([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Floats MulAdd(const Floats& a, const Floats& b, const Floats& c) {
    return Map([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
  }
  static Floats NegMulAdd(const Floats& a, const Floats& b, const Floats& c) {
    return Map([&](int i) { return c.v[i] - a.v[i] * b.v[i]; });
  }
  static float ScalarMulAdd(float a, float b, float c) { return a * b + c; }
  static Floats Abs(const Floats& x) {
    return Map([&](int i) { return std::fabs(x.v[i]); });
  }
  static Floats CopySign(const Floats& magnitude, const Floats& sign) {
    return Map([&](int i) { return std::copysign(magnitude.v[i], sign.v[i]); });
  }
  static Floats PowerOfTwo(const Floats& t) {
    return Map([&](int i) {
      return std::bit_cast<float>(PowerOfTwoBits(std::bit_cast<uint32_t>(t.v[i])));
    });
  }
  // To the nearest integers, ties to even, as 8 bytes; |x| <= 127.
  static void StoreRounded(int8_t* p, const Floats& x) {
    for (int i = 0; i < 8; ++i) p[i] = static_cast<int8_t>(std::lrint(x.v[i]));
  }

  // ---- integers
  template <typename F>
  static Ints MapInts(F f) {
    Ints out;
    for (int i = 0; i < 8; ++i) out.v[i] = static_cast<uint32_t>(f(i));
    return out;
  }
  static Ints And(const Ints& x, uint32_t mask) {
    return MapInts([&](int i) { return x.v[i] & mask; });
  }
  static Ints Or(const Ints& a, const Ints& b) {
    return MapInts([&](int i) { return a.v[i] | b.v[i]; });
  }
  static Ints Shr(const Ints& x, int n) {
    return MapInts([&](int i) { return x.v[i] >> n; });
  }
  static Ints Shl(const Ints& x, int n) {
    return MapInts([&](int i) { return x.v[i] << n; });
  }
  static Ints Xor(const Ints& a, const Ints& b) {
    return MapInts([&](int i) { return a.v[i] ^ b.v[i]; });
  }
  static Ints SetInts(uint32_t x) {
    return MapInts([=](int) { return x; });
  }
  static Ints AddInts(const Ints& a, const Ints& b) {
    return MapInts([&](int i) { return a.v[i] + b.v[i]; });
  }
  static Ints SubInts(const Ints& a, const Ints& b) {
    return MapInts([&](int i) { return a.v[i] - b.v[i]; });
  }
  static Ints SubPairs(const Ints& a, const Ints& b) {  // lanes are pairs of int16
    return MapInts([&](int i) {
      return ((a.v[i] - b.v[i]) & 0xFFFFu) | (((a.v[i] >> 16) - (b.v[i] >> 16)) << 16);
    });
  }
  static Ints SubtractBytes(const Ints& x, uint8_t n) {
    Ints out;
    uint8_t bytes[32];
    std::memcpy(bytes, x.v, 32);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(byte - n);
    std::memcpy(out.v, bytes, 32);
    return out;
  }
  static Ints Lookup(const Ints& nibbles, const int8_t (&table)[16]) {
    Ints out;
    uint8_t bytes[32];
    std::memcpy(bytes, nibbles.v, 32);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(table[byte]);
    std::memcpy(out.v, bytes, 32);
    return out;
  }
  static Floats ToFloats(const Ints& x) {
    return Map([&](int i) { return static_cast<float>(static_cast<int32_t>(x.v[i])); });
  }
  static Floats AsFloats(const Ints& x) {
    return Map([&](int i) { return std::bit_cast<float>(x.v[i]); });
  }
  // Lanes are pairs of int16: a.low * b.low + a.high * b.high.
  static Ints MulPairs(const Ints& a, const int16_t* b) {
    return MapInts([&](int i) {
      const auto low = static_cast<int16_t>(a.v[i] & 0xFFFF);
      const auto high = static_cast<int16_t>(a.v[i] >> 16);
      return low * b[0] + high * b[1];
    });
  }

  // ---- weights
  struct Rows {
    const std::byte* p;
    Rows(const std::byte* groups, int64_t /*group_bytes*/) : p(groups) {}
  };
  static Ints Words(const Rows& w, int offset) {
    Ints out;
    std::memcpy(out.v, w.p + offset, 32);
    return out;
  }
  static Ints Halfwords(const Rows& w, int offset) {
    uint16_t bits[8];
    std::memcpy(bits, w.p + offset, 16);
    return MapInts([&](int i) { return bits[i]; });
  }
  static Ints Bytes(const Rows& w, int offset) {
    return MapInts([&](int i) { return static_cast<uint8_t>(w.p[offset + i]); });
  }
  template <DType kType>
  static Floats LoadColumn(const std::byte* column, int64_t /*group_bytes*/) {
    if constexpr (kType == DType::kF32) {
      Floats out;
      std::memcpy(out.v, column, sizeof out.v);
      return out;
    } else {
      uint16_t bits[8];
      std::memcpy(bits, column, sizeof bits);
      return kType == DType::kF16 ? LoadHalf(bits) : LoadBf16(bits);
    }
  }
  static Floats Halves(const Rows& w, int offset) {
    uint16_t bits[8];
    std::memcpy(bits, w.p + offset, 16);
    return LoadHalf(bits);
  }

  // ---- integer dots

  // The integer part of the blocks of kVectors vectors of rows and kTokens tokens: Add() takes
  // quads k and k + 4 of the rows, Dot() gives the result after k = 3.
  template <class T, int kVectors, int kTokens>
  struct DotTile {
    int32_t halves[kVectors][kTokens][2][8] = {};

    DotTile(const ActBlock* /*x*/, int64_t /*x_stride*/) {}

    void Add(const Quads<Generic> (&quads)[kVectors], int k, const ActBlock* x, int64_t x_stride) {
      for (int v = 0; v < kVectors; ++v) {
        AddHalf(quads[v].low, v, 0, 4 * k, x, x_stride);
        AddHalf(quads[v].high, v, 1, 16 + 4 * k, x, x_stride);
      }
    }
    void AddHalf(const Ints& quad, int v, int half, int column, const ActBlock* x,
                 int64_t x_stride) {
      const Ints centred = SubtractBytes(quad, T::kOffset);
      int8_t bytes[32];
      std::memcpy(bytes, centred.v, 32);
      for (int m = 0; m < kTokens; ++m)
        for (int row = 0; row < 8; ++row)
          for (int i = 0; i < 4; ++i)
            halves[v][m][half][row] += bytes[4 * row + i] * x[m * x_stride].values[column + i];
    }
    Ints Dot(int v, int m, const Scales<Generic>& scales, const ActBlock& /*a*/) const {
      return MapInts([&](int row) {
        int32_t low = halves[v][m][0][row];
        int32_t high = halves[v][m][1][row];
        if constexpr (T::kHalfScales) {
          low *= static_cast<int16_t>(scales.scales.v[row] & 0xFFFF);
          high *= static_cast<int16_t>(scales.scales.v[row] >> 16);
        }
        return low + high;
      });
    }
  };
};

}  // namespace
}  // namespace mirage::kernels
