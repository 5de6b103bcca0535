// SPDX-License-Identifier: Apache-2.0

#include "kernels/ref/ref_ops.h"

namespace mirage::kernels {

const Ops& RefOps() {
  static constexpr Ops kOps = {
      .name = "ref",
      .quantize = ref::Quantize,
      .rms_norm = ref::RmsNorm,
      .add = ref::Add,
      .gated = ref::Gated,
      .softcap = ref::SoftcapOp,
      .dequantize_rows = ref::DequantizeRows,
      .matmul = ref::MatMul,
      .matmul_each = ref::MatMulEach,
      .route = ref::Route,
      .gather_rows = ref::GatherRows,
      .add_rows = ref::AddRows,
      .low_rank = ref::LowRank,
      .rope = ref::Rope,
      .kv_write = ref::KvWrite,
      .attention = ref::Attention,
  };
  return kOps;
}

}  // namespace mirage::kernels
