// SPDX-License-Identifier: Apache-2.0
#pragma once

// The CpuKernels of an instruction set: Wide and Narrow are the vector types of its matmul (16 and
// 8 rows, or the same), Lanes that of everything else.

#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/elementwise_rows.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/matmul_tiles.h"

namespace mirage::kernels {
namespace {

template <class Wide, class Narrow, class Lanes, class AttentionLanes>
constexpr CpuKernels MakeTable() {
  return CpuKernels{
      .quantize = QuantizeRow<Lanes>,
      .rms_norm = RmsNormRows<Lanes>,
      .add = AddValues<Lanes>,
      .add_scaled = AddScaledValues<Lanes>,
      .gated = GatedRow<Lanes>,
      .softcap = SoftcapValues<Lanes>,
      .rope = RopeTokens<Lanes>,
      .kv_write = WriteKv<Lanes>,
      .matmul_groups = FindMatMulGroups<Wide, Narrow>,
      .matmul_token_step = Wide::kPanelTokens > 0 ? Wide::kPanelTokens : 8,
      .matmul_plain_rows = MultiplyPlainRows<Narrow>,
      .attention_rows = AttentionRows<AttentionLanes>,
      .attention = Attend<AttentionLanes>,
      .attention_merge = MergePartials<AttentionLanes>,
  };
}

}  // namespace
}  // namespace mirage::kernels
