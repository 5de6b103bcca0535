// SPDX-License-Identifier: Apache-2.0
// Qwen 3 (arXiv 2505.09388): a norm on every q and k head in place of Qwen 2's biases. Rerankers
// have a head of two rows besides.
#include "model/arch/architectures.h"
#include "model/arch/common.h"

namespace mirage::model {

Status DescribeQwen3(Reader& reader, Config& config, TensorMap& map) {
  MIRAGE_TRY(ReadSizes(reader, config));
  MIRAGE_TRY_ASSIGN(RopeConfig rope, ReadRope(reader, config, kernels::RopePairs::kHalves));
  config.ropes.push_back(std::move(rope));
  MIRAGE_TRY(BindEnds(reader, config, map));
  MIRAGE_TRY(ReadClassifier(reader, config));
  for (int32_t layer = 0; layer < static_cast<int32_t>(config.layers.size()); ++layer) {
    MIRAGE_TRY(BindAttention(reader, config, layer, map));
    MIRAGE_TRY(BindHeadNorms(reader, config, layer, map));
    MIRAGE_TRY(BindFeedForward(reader, config, layer, map));
  }
  return {};
}

}  // namespace mirage::model
