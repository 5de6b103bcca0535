// SPDX-License-Identifier: Apache-2.0
#pragma once

// From an instruction set's CpuKernels to its Ops: the checks, the cutting of each op into tasks,
// and the pool are the same for all of them.

#include "kernels/check.h"
#include "kernels/cpu/kernels.h"
#include "kernels/ops.h"
#include "platform/stream.h"

namespace mirage::kernels {

// Each runs an op's tasks on the pool. Arguments have passed Check().
void RunQuantize(const CpuKernels& kernels, platform::ThreadPool& pool, const QuantizeArgs& args);
void RunRmsNorm(const CpuKernels& kernels, platform::ThreadPool& pool, const RmsNormArgs& args);
void RunAdd(const CpuKernels& kernels, platform::ThreadPool& pool, const AddArgs& args);
void RunGated(const CpuKernels& kernels, platform::ThreadPool& pool, const GatedArgs& args);
void RunSoftcap(const CpuKernels& kernels, platform::ThreadPool& pool, const SoftcapArgs& args);
void RunDequantizeRows(const CpuKernels& kernels, platform::ThreadPool& pool,
                       const DequantizeRowsArgs& args);
void RunMatMul(const CpuKernels& kernels, platform::ThreadPool& pool, const MatMulArgs& args);
void RunMatMulEach(const CpuKernels& kernels, platform::ThreadPool& pool,
                   const MatMulEachArgs& args);
void RunRoute(const CpuKernels& kernels, platform::ThreadPool& pool, const RouteArgs& args);
void RunGatherRows(const CpuKernels& kernels, platform::ThreadPool& pool,
                   const GatherRowsArgs& args);
void RunAddRows(const CpuKernels& kernels, platform::ThreadPool& pool, const AddRowsArgs& args);
void RunLowRank(const CpuKernels& kernels, platform::ThreadPool& pool, const LowRankArgs& args);
void RunRope(const CpuKernels& kernels, platform::ThreadPool& pool, const RopeArgs& args);
void RunKvWrite(const CpuKernels& kernels, platform::ThreadPool& pool, const KvWriteArgs& args);
void RunAttention(const CpuKernels& kernels, platform::ThreadPool& pool, const AttentionArgs& args);

template <const CpuKernels& kKernels, typename Args,
          void (*kRun)(const CpuKernels&, platform::ThreadPool&, const Args&)>
Status Enqueue(Stream& stream, const Args& args) {
  MIRAGE_TRY(Check(args));
  auto& host = static_cast<platform::HostStream&>(stream);
  host.Run([args, pool = &host.pool()] { kRun(kKernels, *pool, args); });
  return {};
}

template <const CpuKernels& kKernels>
constexpr Ops MakeOps(const char* name) {
  return Ops{
      .name = name,
      .quantize = Enqueue<kKernels, QuantizeArgs, RunQuantize>,
      .rms_norm = Enqueue<kKernels, RmsNormArgs, RunRmsNorm>,
      .add = Enqueue<kKernels, AddArgs, RunAdd>,
      .gated = Enqueue<kKernels, GatedArgs, RunGated>,
      .softcap = Enqueue<kKernels, SoftcapArgs, RunSoftcap>,
      .dequantize_rows = Enqueue<kKernels, DequantizeRowsArgs, RunDequantizeRows>,
      .matmul = Enqueue<kKernels, MatMulArgs, RunMatMul>,
      .matmul_each = Enqueue<kKernels, MatMulEachArgs, RunMatMulEach>,
      .route = Enqueue<kKernels, RouteArgs, RunRoute>,
      .gather_rows = Enqueue<kKernels, GatherRowsArgs, RunGatherRows>,
      .add_rows = Enqueue<kKernels, AddRowsArgs, RunAddRows>,
      .low_rank = Enqueue<kKernels, LowRankArgs, RunLowRank>,
      .rope = Enqueue<kKernels, RopeArgs, RunRope>,
      .kv_write = Enqueue<kKernels, KvWriteArgs, RunKvWrite>,
      .attention = Enqueue<kKernels, AttentionArgs, RunAttention>,
  };
}

}  // namespace mirage::kernels
