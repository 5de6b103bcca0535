// SPDX-License-Identifier: Apache-2.0
// Gemma 2 (arXiv 2408.00118): soft caps on attention and logits, a window in every other layer,
// norms before and after each block, scaled embeddings.
#include "model/arch/architectures.h"
#include "model/arch/common.h"
#include "model/arch/gemma.h"

namespace mirage::model {

Status DescribeGemma2(Reader& reader, Config& config, TensorMap& map) {
  MIRAGE_TRY(ReadSizes(reader, config));
  MIRAGE_TRY(ReadGemmaScales(config, 46));
  MIRAGE_TRY(ReadGemmaWindows(reader, config, 2));
  MIRAGE_TRY_ASSIGN(config.attention_softcap, reader.KeyOr<float>("attn_logit_softcapping", 50.0f));
  MIRAGE_TRY_ASSIGN(config.final_softcap, reader.KeyOr<float>("final_logit_softcapping", 30.0f));
  MIRAGE_TRY_ASSIGN(RopeConfig rope, ReadRope(reader, config, kernels::RopePairs::kHalves));
  config.ropes.push_back(std::move(rope));
  MIRAGE_TRY(BindEnds(reader, config, map));
  for (int32_t layer = 0; layer < static_cast<int32_t>(config.layers.size()); ++layer) {
    MIRAGE_TRY(BindAttention(reader, config, layer, map));
    MIRAGE_TRY(BindFeedForward(reader, config, layer, map));
    MIRAGE_TRY(BindPostNorms(reader, config, layer, map));
  }
  return {};
}

}  // namespace mirage::model
