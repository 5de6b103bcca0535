// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include "kernels/cpu/in_parallel.h"
#include "kernels/cpu/op_table.h"
#include "platform/thread_pool.h"
#include "tensor/dequantize.h"

namespace mirage::kernels {
void RunQuantize(const CpuKernels& kernels, platform::ThreadPool& pool, const QuantizeArgs& args) {
  const int64_t blocks = int64_t{args.rows} * (args.cols / kBlock);
  InParallel(pool, blocks, kBlock, [&](int64_t begin, int64_t end) {
    kernels.quantize(args.x + begin * kBlock, args.y + begin, end - begin);
  });
}

void RunRmsNorm(const CpuKernels& kernels, platform::ThreadPool& pool, const RmsNormArgs& args) {
  InParallel(pool, args.rows, args.cols,
             [&](int64_t begin, int64_t end) { kernels.rms_norm(args, begin, end); });
}

void RunAdd(const CpuKernels& kernels, platform::ThreadPool& pool, const AddArgs& args) {
  InParallel(pool, args.n, 1, [&](int64_t begin, int64_t end) {
    kernels.add(args.x + begin, args.y + begin, end - begin);
  });
}

void RunGated(const CpuKernels& kernels, platform::ThreadPool& pool, const GatedArgs& args) {
  // One row of a decode step is cut by columns, many rows by rows.
  constexpr int32_t kCut = 1024;
  const int32_t cuts = (args.cols + kCut - 1) / kCut;
  constexpr int64_t kExpCost = 4;  // an activation weighs several plain values
  InParallel(pool, int64_t{args.rows} * cuts, kCut * kExpCost, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto first = static_cast<int32_t>(i % cuts) * kCut;
      kernels.gated(args, i / cuts, first, std::min(first + kCut, args.cols));
    }
  });
}

void RunSoftcap(const CpuKernels& kernels, platform::ThreadPool& pool, const SoftcapArgs& args) {
  InParallel(pool, args.n, 4, [&](int64_t begin, int64_t end) {
    kernels.softcap(args.x + begin, end - begin, args.cap);
  });
}

void RunDequantizeRows(const CpuKernels& /*kernels*/, platform::ThreadPool& pool,
                       const DequantizeRowsArgs& args) {
  const uint64_t row_bytes = *tensor::RowBytes(args.dtype, args.cols);  // checked
  InParallel(pool, args.rows, args.cols, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* out = args.y + row * args.cols;
      tensor::DequantizeRow(args.dtype, args.rows_data + static_cast<uint64_t>(row) * row_bytes,
                            out, args.cols);
      for (int32_t c = 0; c < args.cols; ++c) out[c] *= args.scale;
    }
  });
}

void RunRope(const CpuKernels& kernels, platform::ThreadPool& pool, const RopeArgs& args) {
  InParallel(pool, args.tokens, int64_t{args.heads} * args.rotary,
             [&](int64_t begin, int64_t end) { kernels.rope(args, begin, end); });
}

}  // namespace mirage::kernels
