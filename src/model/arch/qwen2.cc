// SPDX-License-Identifier: Apache-2.0
// Qwen 2 and 2.5 (arXiv 2407.10671, 2412.15115): biases on q, k and v.
#include "model/arch/architectures.h"
#include "model/arch/common.h"

namespace mirage::model {

Status DescribeQwen2(Reader& reader, Config& config, TensorMap& map) {
  MIRAGE_TRY(ReadSizes(reader, config));
  MIRAGE_TRY_ASSIGN(RopeConfig rope, ReadRope(reader, config, kernels::RopePairs::kHalves));
  config.ropes.push_back(std::move(rope));
  MIRAGE_TRY(BindEnds(reader, config, map));
  for (int32_t layer = 0; layer < static_cast<int32_t>(config.layers.size()); ++layer) {
    MIRAGE_TRY(BindAttention(reader, config, layer, map));
    MIRAGE_TRY(BindFeedForward(reader, config, layer, map));
  }
  return {};
}

}  // namespace mirage::model
