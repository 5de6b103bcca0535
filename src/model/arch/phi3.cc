// SPDX-License-Identifier: Apache-2.0
// Phi 3 (arXiv 2404.14219), 3.5 and 4: q, k and v in one tensor, gate and up in another, LongRoPE.
#include "model/arch/architectures.h"
#include "model/arch/common.h"

namespace mirage::model {

namespace {

Status BindFused(Reader& reader, const Config& config, int32_t layer, TensorMap& map) {
  const LayerConfig& shape = config.layers[layer];
  LayerTensors& out = map.layers[layer];
  const int64_t width = config.embedding;
  const int64_t q_rows = int64_t{shape.heads} * shape.head_dim;
  const int64_t kv_rows = int64_t{shape.kv_heads} * shape.head_dim;
  const int64_t ffn = shape.ffn;

  MIRAGE_TRY_ASSIGN(out[Vector::kAttentionNorm],
                    reader.Vector(LayerTensor(layer, "attn_norm.weight"), width));
  MIRAGE_TRY_ASSIGN(const TensorSlice qkv, reader.Matrix(LayerTensor(layer, "attn_qkv.weight"),
                                                         q_rows + 2 * kv_rows, width));
  out[Matrix::kQ] = {qkv.tensor, 0, q_rows};
  out[Matrix::kK] = {qkv.tensor, q_rows, kv_rows};
  out[Matrix::kV] = {qkv.tensor, q_rows + kv_rows, kv_rows};
  MIRAGE_TRY_ASSIGN(out[Matrix::kO],
                    reader.Matrix(LayerTensor(layer, "attn_output.weight"), width, q_rows));

  MIRAGE_TRY_ASSIGN(out[Vector::kFfnNorm],
                    reader.Vector(LayerTensor(layer, "ffn_norm.weight"), width));
  MIRAGE_TRY_ASSIGN(const TensorSlice gate_up,
                    reader.Matrix(LayerTensor(layer, "ffn_up.weight"), 2 * ffn, width));
  out[Matrix::kGate] = {gate_up.tensor, 0, ffn};
  out[Matrix::kUp] = {gate_up.tensor, ffn, ffn};
  MIRAGE_TRY_ASSIGN(out[Matrix::kDown],
                    reader.Matrix(LayerTensor(layer, "ffn_down.weight"), width, ffn));
  return {};
}

}  // namespace

Status DescribePhi3(Reader& reader, Config& config, TensorMap& map) {
  MIRAGE_TRY(ReadSizes(reader, config));
  MIRAGE_TRY_ASSIGN(RopeConfig rope, ReadRope(reader, config, kernels::RopePairs::kHalves));
  config.ropes.push_back(std::move(rope));
  MIRAGE_TRY_ASSIGN(const int64_t window, reader.KeyOr<int64_t>("attention.sliding_window", 0));
  MIRAGE_TRY(BindEnds(reader, config, map));
  for (int32_t layer = 0; layer < static_cast<int32_t>(config.layers.size()); ++layer) {
    config.layers[layer].window = window;
    MIRAGE_TRY(BindFused(reader, config, layer, map));
  }
  return {};
}

}  // namespace mirage::model
