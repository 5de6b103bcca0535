// SPDX-License-Identifier: Apache-2.0
#pragma once

// The conditions on arguments that every backend shares. Cheap: called once per op.

#include "base/result.h"
#include "kernels/ops.h"

namespace mirage::kernels {

[[nodiscard]] Status Check(const QuantizeArgs& args);
[[nodiscard]] Status Check(const RmsNormArgs& args);
[[nodiscard]] inline Status Check(const AddArgs&) { return {}; }
[[nodiscard]] inline Status Check(const SoftcapArgs&) { return {}; }
[[nodiscard]] Status Check(const GatedArgs& args);
[[nodiscard]] Status Check(const DequantizeRowsArgs& args);
[[nodiscard]] Status Check(const MatMulArgs& args);
[[nodiscard]] Status Check(const MatMulEachArgs& args);
[[nodiscard]] Status Check(const RouteArgs& args);
[[nodiscard]] Status Check(const GatherRowsArgs& args);
[[nodiscard]] inline Status Check(const AddRowsArgs&) { return {}; }
[[nodiscard]] Status Check(const LowRankArgs& args);
[[nodiscard]] Status Check(const RopeArgs& args);
[[nodiscard]] Status Check(const KvWriteArgs& args);
[[nodiscard]] Status Check(const AttentionArgs& args);

}  // namespace mirage::kernels
