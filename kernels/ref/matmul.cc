// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <vector>

#include "kernels/check.h"
#include "kernels/integer_block.h"
#include "kernels/ref/ref_ops.h"
#include "platform/stream.h"
#include "tensor/packed_rows.h"

namespace mirage::kernels::ref {
namespace {

float DotFloat(DType dtype, const std::byte* row, const float* x, int32_t cols) {
  float acc = 0.0f;
  for (int32_t c = 0; c < cols; ++c) acc = std::fma(FloatWeightAt(dtype, row, c), x[c], acc);
  return acc;
}

float DotQuantized(DType dtype, const std::byte* row, const ActBlock* x, int32_t cols) {
  const auto fma = [](float a, float b, float c) { return std::fma(a, b, c); };
  float acc = 0.0f;
  for (int32_t b = 0; b < cols / kBlock; ++b) {
    IntegerBlock block;
    if (!ReadIntegerBlock(dtype, row, b, &block)) return NAN;
    acc = AddBlock(MinimumOf(dtype), block, x[b], acc, fma);
  }
  return acc;
}

// `rows` packed rows as a file stores them.
std::vector<std::byte> Unpacked(DType dtype, int32_t rows, int32_t cols, const std::byte* packed) {
  const uint64_t bytes = *tensor::RowBytes(dtype, cols) * static_cast<uint64_t>(rows);
  std::vector<std::byte> plain(bytes);
  (void)UnpackRows(dtype, rows, cols, {packed, bytes}, plain);  // checked: packable
  return plain;
}

void MultiplySegment(const MatMulArgs& args, const MatMulOutput& output,
                     const WeightSegment& segment) {
  const DType dtype = output.weight.dtype;
  const int32_t cols = output.weight.cols;
  const uint64_t row_bytes = *tensor::RowBytes(dtype, cols);
  const std::vector<std::byte> plain = Unpacked(dtype, segment.rows, cols, segment.data);
  for (int32_t r = 0; r < segment.rows; ++r) {
    const std::byte* row = plain.data() + static_cast<uint64_t>(r) * row_bytes;
    const int32_t tensor_row = segment.row0 + r;
    for (int64_t m = 0; m < args.tokens; ++m) {
      const float dot = ReadsQuantized(dtype)
                            ? DotQuantized(dtype, row, args.x.q8 + m * (cols / kBlock), cols)
                            : DotFloat(dtype, row, args.x.f32 + m * cols, cols);
      output.y[m * output.y_stride + tensor_row] =
          output.bias == nullptr ? dot : dot + output.bias[tensor_row];
    }
  }
}

void AddLowRank(const LowRankArgs& args, const LowRankOutput& output) {
  const std::vector<std::byte> a =
      Unpacked(output.a_type, (output.rank + 7) / 8 * 8, args.cols, output.a);
  const std::vector<std::byte> b = Unpacked(output.b_type, output.rows, output.rank, output.b);
  const uint64_t a_row_bytes = *tensor::RowBytes(output.a_type, args.cols);
  const uint64_t b_row_bytes = *tensor::RowBytes(output.b_type, output.rank);
  std::vector<float> t(static_cast<size_t>(output.rank));
  for (int64_t m = 0; m < args.tokens; ++m) {
    for (size_t k = 0; k < t.size(); ++k)
      t[k] = DotFloat(output.a_type, a.data() + k * a_row_bytes, args.x + m * args.cols, args.cols);
    for (int32_t row = 0; row < output.rows; ++row) {
      const float sum = DotFloat(output.b_type, b.data() + static_cast<uint64_t>(row) * b_row_bytes,
                                 t.data(), output.rank);
      float& y = output.y[m * output.y_stride + row];
      y = std::fma(output.scale, sum, y);
    }
  }
}

}  // namespace

Status MatMul(Stream& stream, const MatMulArgs& args) {
  MIRAGE_TRY(Check(args));
  static_cast<platform::HostStream&>(stream).Run([args] {
    for (int32_t i = 0; i < args.output_count; ++i)
      for (int32_t s = 0; s < args.outputs[i].weight.segment_count; ++s)
        MultiplySegment(args, args.outputs[i], args.outputs[i].weight.segments[s]);
  });
  return {};
}

Status MatMulEach(Stream& stream, const MatMulEachArgs& args) {
  MIRAGE_TRY(Check(args));
  for (int32_t i = 0; i < args.count; ++i) MIRAGE_TRY(MatMul(stream, args.products[i]));
  return {};
}

Status LowRank(Stream& stream, const LowRankArgs& args) {
  MIRAGE_TRY(Check(args));
  static_cast<platform::HostStream&>(stream).Run([args] {
    for (int32_t i = 0; i < args.output_count; ++i) AddLowRank(args, args.outputs[i]);
  });
  return {};
}

}  // namespace mirage::kernels::ref
