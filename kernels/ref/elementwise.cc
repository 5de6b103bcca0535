// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <vector>

#include "kernels/check.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/vector_math.h"
#include "platform/stream.h"
#include "tensor/dequantize.h"

namespace mirage::kernels::ref {
namespace {

void QuantizeBlock(const float* x, ActBlock* y) {
  float max = 0.0f;
  for (int i = 0; i < kBlock; ++i) max = std::fmax(max, std::fabs(x[i]));
  const bool zero = max < 0x1p-100f;
  const float inverse = zero ? 0.0f : 127.0f / max;
  y->scale = zero ? 0.0f : max / 127.0f;
  int sums[2] = {0, 0};
  for (int i = 0; i < kBlock; ++i) {
    y->values[i] = static_cast<int8_t>(std::lrint(x[i] * inverse));
    sums[i / 16] += y->values[i];
  }
  y->half_sums[0] = static_cast<int16_t>(sums[0]);
  y->half_sums[1] = static_cast<int16_t>(sums[1]);
  y->sum = sums[0] + sums[1];
  y->scaled_sum = y->scale * static_cast<float>(y->sum);
}

void QuantizeRow(const float* x, ActBlock* y, int32_t cols) {
  for (int32_t c = 0; c < cols; c += kBlock) QuantizeBlock(x + c, y + c / kBlock);
}

// Values of one output row go to `y`, to `q` quantised, or to both.
void StoreRow(const std::vector<float>& row, float* y, ActBlock* q) {
  if (y != nullptr) std::copy(row.begin(), row.end(), y);
  if (q != nullptr) QuantizeRow(row.data(), q, static_cast<int32_t>(row.size()));
}

template <typename Work>
Status RunOn(Stream& stream, Work work) {
  static_cast<platform::HostStream&>(stream).Run(work);
  return {};
}

}  // namespace

Status Quantize(Stream& stream, const QuantizeArgs& args) {
  MIRAGE_TRY(Check(args));
  return RunOn(stream, [args] {
    for (int64_t row = 0; row < args.rows; ++row)
      QuantizeRow(args.x + row * args.cols, args.y + row * (args.cols / kBlock), args.cols);
  });
}

Status RmsNorm(Stream& stream, const RmsNormArgs& args) {
  MIRAGE_TRY(Check(args));
  return RunOn(stream, [args] {
    std::vector<float> out(static_cast<size_t>(args.cols));
    for (int64_t row = 0; row < args.rows; ++row) {
      const float* x = args.x + row * args.x_stride;
      float lanes[kSumLanes] = {};
      for (int32_t c = 0; c < args.cols; ++c)
        lanes[c % kSumLanes] = std::fma(x[c], x[c], lanes[c % kSumLanes]);
      const float mean = SumLanes(lanes) / static_cast<float>(args.cols);
      const float inverse = 1.0f / std::sqrt(mean + args.eps);
      for (int32_t c = 0; c < args.cols; ++c)
        out[static_cast<size_t>(c)] = x[c] * inverse * args.weight[c];
      StoreRow(out, args.y == nullptr ? nullptr : args.y + row * args.y_stride,
               args.q == nullptr ? nullptr : args.q + row * (args.cols / kBlock));
    }
  });
}

Status Add(Stream& stream, const AddArgs& args) {
  return RunOn(stream, [args] {
    for (int64_t i = 0; i < args.n; ++i) args.y[i] += args.x[i];
  });
}

Status Gated(Stream& stream, const GatedArgs& args) {
  MIRAGE_TRY(Check(args));
  return RunOn(stream, [args] {
    std::vector<float> out(static_cast<size_t>(args.cols));
    for (int64_t row = 0; row < args.rows; ++row) {
      const float* gate = args.gate + row * args.stride;
      const float* up = args.up + row * args.stride;
      for (int32_t c = 0; c < args.cols; ++c) {
        const float activated = args.activation == Activation::kSilu ? Silu<ScalarFma>(gate[c])
                                                                     : GeluTanh<ScalarFma>(gate[c]);
        out[static_cast<size_t>(c)] = activated * up[c];
      }
      StoreRow(out, args.y == nullptr ? nullptr : args.y + row * args.cols,
               args.q == nullptr ? nullptr : args.q + row * (args.cols / kBlock));
    }
  });
}

Status SoftcapOp(Stream& stream, const SoftcapArgs& args) {
  return RunOn(stream, [args] {
    for (int64_t i = 0; i < args.n; ++i) args.x[i] = Softcap<ScalarFma>(args.x[i], args.cap);
  });
}

Status DequantizeRows(Stream& stream, const DequantizeRowsArgs& args) {
  MIRAGE_TRY(Check(args));
  MIRAGE_TRY_ASSIGN(const uint64_t row_bytes, tensor::RowBytes(args.dtype, args.cols));
  return RunOn(stream, [args, row_bytes] {
    for (int64_t row = 0; row < args.rows; ++row) {
      float* out = args.y + row * args.cols;
      tensor::DequantizeRow(args.dtype, args.rows_data + static_cast<uint64_t>(row) * row_bytes, out,
                            args.cols);
      for (int32_t c = 0; c < args.cols; ++c) out[c] *= args.scale;
    }
  });
}

Status Rope(Stream& stream, const RopeArgs& args) {
  MIRAGE_TRY(Check(args));
  return RunOn(stream, [args] {
    const int32_t half = args.rotary / 2;
    for (int64_t token = 0; token < args.tokens; ++token) {
      for (int32_t head = 0; head < args.heads; ++head) {
        float* x = args.x + token * args.x_stride + head * args.head_dim;
        for (int32_t i = 0; i < half; ++i) {
          const bool adjacent = args.pairs == RopePairs::kAdjacent;
          float& a = x[adjacent ? 2 * i : i];
          float& b = x[adjacent ? 2 * i + 1 : i + half];
          const float cos = args.cos[token * half + i];
          const float sin = args.sin[token * half + i];
          const float rotated_a = std::fma(-b, sin, a * cos);
          b = std::fma(b, cos, a * sin);
          a = rotated_a;
        }
      }
    }
  });
}

}  // namespace mirage::kernels::ref
