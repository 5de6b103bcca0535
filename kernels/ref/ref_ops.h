// SPDX-License-Identifier: Apache-2.0
#pragma once

// The reference table: each op in plain loops, one row and one value at a time. It is the meaning
// that the fast tables are tested against; tables with fused multiply-add give the same bits.
// Linked into tests only.

#include "kernels/ops.h"

namespace mirage::kernels {

[[nodiscard]] const Ops& RefOps();

namespace ref {

Status Quantize(Stream& stream, const QuantizeArgs& args);
Status RmsNorm(Stream& stream, const RmsNormArgs& args);
Status Add(Stream& stream, const AddArgs& args);
Status Gated(Stream& stream, const GatedArgs& args);
Status SoftcapOp(Stream& stream, const SoftcapArgs& args);
Status DequantizeRows(Stream& stream, const DequantizeRowsArgs& args);
Status MatMul(Stream& stream, const MatMulArgs& args);
Status MatMulEach(Stream& stream, const MatMulEachArgs& args);
Status Route(Stream& stream, const RouteArgs& args);
Status GatherRows(Stream& stream, const GatherRowsArgs& args);
Status AddRows(Stream& stream, const AddRowsArgs& args);
Status LowRank(Stream& stream, const LowRankArgs& args);
Status Rope(Stream& stream, const RopeArgs& args);
Status KvWrite(Stream& stream, const KvWriteArgs& args);
Status Attention(Stream& stream, const AttentionArgs& args);

// The fixed order of sums over a run of values: value i belongs to lane i % 16, a lane adds its
// values in ascending order, and the lanes are then added pairwise at distance 8, 4, 2, 1.
inline constexpr int kSumLanes = 16;
[[nodiscard]] inline float SumLanes(float (&lanes)[kSumLanes]) {
  for (int distance = kSumLanes / 2; distance > 0; distance /= 2)
    for (int i = 0; i < distance; ++i) lanes[i] += lanes[i + distance];
  return lanes[0];
}

}  // namespace ref
}  // namespace mirage::kernels
