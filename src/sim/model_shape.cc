// SPDX-License-Identifier: Apache-2.0
#include "sim/model_shape.h"

#include <cmath>

namespace mirage::sim {
namespace {

uint64_t Times(int64_t a, int64_t b) { return static_cast<uint64_t>(a) * static_cast<uint64_t>(b); }

// OPT (arXiv 2205.01068, table 1): four square matrices and an FFN of 4 times the width; the head
// is tied to the embedding, and 2048 learned positions are gathered from.
ModelShape Opt(std::string name, int32_t layers, int32_t width, int32_t heads) {
  ModelShape shape;
  shape.name = std::move(name);
  shape.layers = layers;
  shape.width = width;
  shape.query_heads = shape.kv_heads = heads;
  shape.head_dim = width / heads;
  shape.context = 2048;
  shape.layer_weights = 12 * Times(width, width);
  shape.head_weights = Times(50272, width);
  shape.embedding_weights = Times(2048, width);
  return shape;
}

struct LlamaSizes {
  int32_t layers;
  int32_t width;
  int32_t heads;
  int32_t kv_heads;
  int32_t ffn;
  int32_t vocabulary;
  int64_t context;
};

// Llama 2 (arXiv 2307.09288) and 3 (arXiv 2407.21783), as their config.json say: gated FFN, untied
// head.
ModelShape Llama(std::string name, const LlamaSizes& sizes) {
  ModelShape shape;
  shape.name = std::move(name);
  shape.layers = sizes.layers;
  shape.width = sizes.width;
  shape.query_heads = sizes.heads;
  shape.kv_heads = sizes.kv_heads;
  shape.head_dim = sizes.width / sizes.heads;
  shape.context = sizes.context;
  const uint64_t kv = Times(sizes.kv_heads, shape.head_dim);
  shape.layer_weights = 2 * Times(sizes.width, sizes.width) +
                        2 * static_cast<uint64_t>(sizes.width) * kv +
                        3 * Times(sizes.width, sizes.ffn);
  shape.head_weights = Times(sizes.vocabulary, sizes.width);
  shape.embedding_weights = shape.head_weights;
  return shape;
}

// Qwen3-30B-A3B (arXiv 2505.09388 and its config.json): 128 experts of width 768, 8 of them used.
ModelShape Qwen3Moe() {
  ModelShape shape;
  shape.name = "qwen3-30b-a3b";
  shape.layers = 48;
  shape.width = 2048;
  shape.query_heads = 32;
  shape.kv_heads = 4;
  shape.head_dim = 128;
  shape.context = 32768;
  shape.experts = 128;
  shape.experts_used = 8;
  shape.expert_weights = 3 * Times(2048, 768);
  const uint64_t attention = 2 * Times(2048, 32 * 128) + 2 * Times(2048, 4 * 128);
  shape.layer_weights = attention + Times(2048, 128) + 128 * shape.expert_weights;
  shape.head_weights = Times(151936, 2048);
  shape.embedding_weights = shape.head_weights;
  return shape;
}

}  // namespace

double ModelShape::LayerWeightsRead(int64_t tokens) const {
  const auto all = static_cast<double>(layer_weights);
  if (experts == 0) return all;
  const double of_experts = static_cast<double>(experts) * static_cast<double>(expert_weights);
  const double missed =
      std::pow(1 - static_cast<double>(experts_used) / experts, static_cast<double>(tokens));
  return all - of_experts * missed;
}

double ModelShape::LayerWeightsUsed() const {
  const auto all = static_cast<double>(layer_weights);
  return all - static_cast<double>(experts - experts_used) * static_cast<double>(expert_weights);
}

const std::vector<ModelShape>& ModelShapes() {
  static const std::vector<ModelShape> shapes = {
      Opt("opt-6.7b", 32, 4096, 32),
      Opt("opt-13b", 40, 5120, 40),
      Opt("opt-30b", 48, 7168, 56),
      Llama("llama-2-13b", {40, 5120, 40, 40, 13824, 32000, 4096}),
      Llama("llama-3-8b", {32, 4096, 32, 8, 14336, 128256, 8192}),
      Qwen3Moe(),
  };
  return shapes;
}

Result<ModelShape> FindModelShape(std::string_view name) {
  std::string known;
  for (const ModelShape& shape : ModelShapes()) {
    if (shape.name == name) return shape;
    known += (known.empty() ? "" : ", ") + shape.name;
  }
  return Fail(Code::kInvalidArgument,
              "no model '" + std::string(name) + "' to simulate; there are " + known);
}

}  // namespace mirage::sim
