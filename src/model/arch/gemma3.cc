// SPDX-License-Identifier: Apache-2.0
// Gemma 3, text (arXiv 2503.19786): Gemma 2's blocks with a norm per q and k head in place of the
// attention cap, five windowed layers to each full one, and a rope of its own for the windowed
// layers.
#include "model/arch/architectures.h"
#include "model/arch/common.h"
#include "model/arch/gemma.h"

namespace mirage::model {

Status DescribeGemma3(Reader& reader, Config& config, TensorMap& map) {
  MIRAGE_TRY(ReadSizes(reader, config));
  MIRAGE_TRY(ReadGemmaScales(config, 62));
  MIRAGE_TRY(ReadGemmaWindows(reader, config, 6));
  MIRAGE_TRY_ASSIGN(config.final_softcap, reader.KeyOr<float>("final_logit_softcapping", 0.0f));
  MIRAGE_TRY_ASSIGN(RopeConfig global, ReadRope(reader, config, kernels::RopePairs::kHalves));
  RopeConfig local;  // its base differs and no scaling applies to it
  local.pairs = global.pairs;
  local.rotary = global.rotary;
  local.base_key = "rope.freq_base_swa";
  MIRAGE_TRY_ASSIGN(local.base, reader.KeyOr<float>(local.base_key, 10000.0f));
  config.ropes = {std::move(global), std::move(local)};
  MIRAGE_TRY(BindEnds(reader, config, map));
  for (int32_t layer = 0; layer < static_cast<int32_t>(config.layers.size()); ++layer) {
    config.layers[layer].rope = config.layers[layer].window > 0 ? 1 : 0;
    MIRAGE_TRY(BindAttention(reader, config, layer, map));
    MIRAGE_TRY(BindHeadNorms(reader, config, layer, map));
    MIRAGE_TRY(BindFeedForward(reader, config, layer, map));
    MIRAGE_TRY(BindPostNorms(reader, config, layer, map));
  }
  return {};
}

}  // namespace mirage::model
