// SPDX-License-Identifier: Apache-2.0
#pragma once

// Norms, activations, rope and quantisation of rows, once for all instruction sets. A tail shorter
// than a vector is computed in a padded vector, so that it takes the same instructions as the rest
// of the row.

#include <cstdint>
#include <cstring>

#include "kernels/cpu/kernels.h"
#include "kernels/vector_math.h"

namespace mirage::kernels {
namespace {

// Up to kLanes values, zeros behind them.
template <class V>
inline typename V::Floats LoadPart(const float* p, int64_t count) {
  if (count >= V::kLanes) return V::Load(p);
  float padded[V::kLanes] = {};
  std::memcpy(padded, p, static_cast<size_t>(count) * sizeof(float));
  return V::Load(padded);
}

template <class V>
inline void StorePart(float* p, int64_t count, const typename V::Floats& x) {
  if (count >= V::kLanes) {
    V::Store(p, x);
    return;
  }
  float padded[V::kLanes];
  V::Store(padded, x);
  std::memcpy(p, padded, static_cast<size_t>(count) * sizeof(float));
}

// Calls body(first, count) for each vector of [begin, end); count is less than kLanes at the end
// only.
template <class V, typename Body>
inline void ForEachVector(int64_t begin, int64_t end, Body body) {
  for (int64_t i = begin; i < end; i += V::kLanes) body(i, end - i);
}

inline constexpr int kSumLanes = 16;  // see SumLanes in kernels/ref/ref_ops.h: the same order

template <class V>
struct LaneSums {
  static constexpr int kVectors = kSumLanes / V::kLanes;
  typename V::Floats sums[kVectors];

  LaneSums() {
    for (auto& sum : sums) sum = V::Set(0.0f);
  }
  float Total() const {
    float lanes[kSumLanes];
    for (int v = 0; v < kVectors; ++v) V::Store(lanes + v * V::kLanes, sums[v]);
    for (int distance = kSumLanes / 2; distance > 0; distance /= 2)
      for (int i = 0; i < distance; ++i) lanes[i] += lanes[i + distance];
    return lanes[0];
  }
};

template <class V>
inline float MaxLane(const typename V::Floats& x) {
  float lanes[V::kLanes];
  V::Store(lanes, x);
  float max = lanes[0];
  for (int i = 1; i < V::kLanes; ++i) max = lanes[i] > max ? lanes[i] : max;
  return max;
}

template <class V>
inline void QuantizeBlock(const float* x, ActBlock* y) {
  constexpr int kVectors = kBlock / V::kLanes;
  typename V::Floats values[kVectors];
  auto max = V::Set(0.0f);
  for (int v = 0; v < kVectors; ++v) {
    values[v] = V::Load(x + v * V::kLanes);
    max = V::Max(max, V::Abs(values[v]));
  }
  const float max_value = MaxLane<V>(max);
  const bool zero = max_value < 0x1p-100f;
  const auto inverse = V::Set(zero ? 0.0f : 127.0f / max_value);
  y->scale = zero ? 0.0f : max_value / 127.0f;
  for (int v = 0; v < kVectors; ++v)
    V::StoreRounded(y->values + v * V::kLanes, V::Mul(values[v], inverse));
  int32_t sums[2] = {0, 0};
  for (int h = 0; h < 2; ++h)
    for (int i = 0; i < 16; ++i) sums[h] += y->values[16 * h + i];
  y->half_sums[0] = static_cast<int16_t>(sums[0]);
  y->half_sums[1] = static_cast<int16_t>(sums[1]);
  y->sum = sums[0] + sums[1];
  y->scaled_sum = y->scale * static_cast<float>(y->sum);
}

template <class V>
void QuantizeRow(const float* x, ActBlock* y, int64_t blocks) {
  for (int64_t b = 0; b < blocks; ++b) QuantizeBlock<V>(x + b * kBlock, y + b);
}

// Computes a row block by block: make(first, count) gives a vector of it, which goes to y, to q, or
// to both.
template <class V, typename Make>
inline void EmitRow(int64_t begin, int64_t end, float* y, ActBlock* q, Make make) {
  if (q == nullptr) {
    ForEachVector<V>(begin, end,
                     [&](int64_t i, int64_t count) { StorePart<V>(y + i, count, make(i, count)); });
    return;
  }
  for (int64_t block = begin; block < end; block += kBlock) {
    float values[kBlock];
    for (int i = 0; i < kBlock; i += V::kLanes) V::Store(values + i, make(block + i, kBlock));
    if (y != nullptr) std::memcpy(y + block, values, sizeof values);
    QuantizeBlock<V>(values, q + block / kBlock);
  }
}

template <class V>
void RmsNormRows(const RmsNormArgs& args, int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    LaneSums<V> squares;
    for (int64_t c = 0; c < args.cols; c += kSumLanes) {
      for (int v = 0; v < LaneSums<V>::kVectors; ++v) {
        const int64_t first = c + v * V::kLanes;
        if (first >= args.cols) break;
        const auto values = LoadPart<V>(x + first, args.cols - first);
        squares.sums[v] = V::MulAdd(values, values, squares.sums[v]);
      }
    }
    const float mean = squares.Total() / static_cast<float>(args.cols);
    const auto inverse = V::Set(1.0f / __builtin_sqrtf(mean + args.eps));
    EmitRow<V>(0, args.cols, args.y == nullptr ? nullptr : args.y + row * args.y_stride,
               args.q == nullptr ? nullptr : args.q + row * (args.cols / kBlock),
               [&](int64_t i, int64_t count) {
                 return V::Mul(V::Mul(LoadPart<V>(x + i, count), inverse),
                               LoadPart<V>(args.weight + i, count));
               });
  }
}

template <class V>
void AddValues(const float* x, float* y, int64_t n) {
  ForEachVector<V>(0, n, [&](int64_t i, int64_t count) {
    StorePart<V>(y + i, count, V::Add(LoadPart<V>(y + i, count), LoadPart<V>(x + i, count)));
  });
}

template <class V>
void AddScaledValues(const float* x, float scale, float* y, int64_t n) {
  ForEachVector<V>(0, n, [&](int64_t i, int64_t count) {
    StorePart<V>(y + i, count,
                 V::MulAdd(V::Set(scale), LoadPart<V>(x + i, count), LoadPart<V>(y + i, count)));
  });
}

template <class V>
void GatedRow(const GatedArgs& args, int64_t row, int32_t col_begin, int32_t col_end) {
  const float* gate = args.gate + row * args.stride;
  const float* up = args.up + row * args.stride;
  float* y = args.y == nullptr ? nullptr : args.y + row * args.cols;
  ActBlock* q = args.q == nullptr ? nullptr : args.q + row * (args.cols / kBlock);
  const auto emit = [&](auto activate) {
    EmitRow<V>(col_begin, col_end, y, q, [&](int64_t i, int64_t count) {
      return V::Mul(activate(LoadPart<V>(gate + i, count)), LoadPart<V>(up + i, count));
    });
  };
  if (args.activation == Activation::kSilu)
    emit([](const typename V::Floats& x) { return Silu<V>(x); });
  else
    emit([](const typename V::Floats& x) { return GeluTanh<V>(x); });
}

template <class V>
void SoftcapValues(float* x, int64_t n, float cap) {
  ForEachVector<V>(0, n, [&](int64_t i, int64_t count) {
    StorePart<V>(x + i, count, Softcap<V>(LoadPart<V>(x + i, count), cap));
  });
}

template <class V>
void RopeHalves(float* x, const float* cos, const float* sin, int32_t half) {
  ForEachVector<V>(0, half, [&](int64_t i, int64_t count) {
    const auto a = LoadPart<V>(x + i, count);
    const auto b = LoadPart<V>(x + half + i, count);
    const auto c = LoadPart<V>(cos + i, count);
    const auto s = LoadPart<V>(sin + i, count);
    StorePart<V>(x + i, count, V::NegMulAdd(b, s, V::Mul(a, c)));
    StorePart<V>(x + half + i, count, V::MulAdd(b, c, V::Mul(a, s)));
  });
}

template <class V>
void RopeAdjacent(float* x, const float* cos, const float* sin, int32_t half) {
  for (int32_t i = 0; i < half; ++i) {
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    x[2 * i] = V::ScalarMulAdd(-b, sin[i], a * cos[i]);
    x[2 * i + 1] = V::ScalarMulAdd(b, cos[i], a * sin[i]);
  }
}

template <class V>
void RopeTokens(const RopeArgs& args, int64_t token_begin, int64_t token_end) {
  const int32_t half = args.rotary / 2;
  const auto rotate = args.pairs == RopePairs::kHalves ? RopeHalves<V> : RopeAdjacent<V>;
  for (int64_t token = token_begin; token < token_end; ++token)
    for (int32_t head = 0; head < args.heads; ++head)
      rotate(args.x + token * args.x_stride + static_cast<int64_t>(head) * args.head_dim,
             args.cos + token * half, args.sin + token * half, half);
}

}  // namespace
}  // namespace mirage::kernels
