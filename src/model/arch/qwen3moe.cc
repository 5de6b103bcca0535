// SPDX-License-Identifier: Apache-2.0
// Qwen 3 with a mixture of experts in every layer (arXiv 2505.09388): attention is Qwen 3's. A
// token's experts are weighed by the softmax over all, made to sum to 1 unless the file says not
// to.
#include "model/arch/architectures.h"
#include "model/arch/common.h"

namespace mirage::model {

Status DescribeQwen3Moe(Reader& reader, Config& config, TensorMap& map) {
  MIRAGE_TRY(ReadSizes(reader, config));
  MIRAGE_TRY(ReadExperts(reader, config));
  MIRAGE_TRY_ASSIGN(RopeConfig rope, ReadRope(reader, config, kernels::RopePairs::kHalves));
  config.ropes.push_back(std::move(rope));
  MIRAGE_TRY(BindEnds(reader, config, map));
  for (int32_t layer = 0; layer < static_cast<int32_t>(config.layers.size()); ++layer) {
    MIRAGE_TRY(BindAttention(reader, config, layer, map));
    MIRAGE_TRY(BindHeadNorms(reader, config, layer, map));
    MIRAGE_TRY(BindExperts(reader, config, layer, map));
  }
  return {};
}

}  // namespace mirage::model
