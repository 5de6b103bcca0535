// SPDX-License-Identifier: Apache-2.0
// Llama (arXiv 2302.13971, 2307.09288, 2407.21783) and what shares its file architecture: Mistral,
// SmolLM, Yi. Q and K rows are stored permuted, so that rope turns adjacent pairs.
#include "model/arch/architectures.h"
#include "model/arch/common.h"

namespace mirage::model {

Status DescribeLlama(Reader& reader, Config& config, TensorMap& map) {
  MIRAGE_TRY(ReadSizes(reader, config));
  if (reader.Has("expert_count")) {
    MIRAGE_TRY_ASSIGN(const uint64_t experts, reader.Key<uint64_t>("expert_count"));
    if (experts > 0)
      return reader.AboutKey(
          Code::kUnsupported, "expert_count",
          "is " + std::to_string(experts) + ": mixtures of experts are not in this build");
  }
  MIRAGE_TRY_ASSIGN(RopeConfig rope, ReadRope(reader, config, kernels::RopePairs::kAdjacent));
  config.ropes.push_back(std::move(rope));
  MIRAGE_TRY_ASSIGN(const int64_t window, reader.KeyOr<int64_t>("attention.sliding_window", 0));
  MIRAGE_TRY(BindEnds(reader, config, map));
  for (int32_t layer = 0; layer < static_cast<int32_t>(config.layers.size()); ++layer) {
    config.layers[layer].window = window;
    MIRAGE_TRY(BindAttention(reader, config, layer, map));
    MIRAGE_TRY(BindFeedForward(reader, config, layer, map));
  }
  return {};
}

}  // namespace mirage::model
