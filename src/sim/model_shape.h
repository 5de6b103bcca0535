// SPDX-License-Identifier: Apache-2.0
#pragma once

// ModelShape: what a pass of a model reads and computes, for models that are only simulated.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage::sim {

struct ModelShape {
  std::string name;
  int32_t layers = 0;
  int32_t width = 0;
  int32_t query_heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int64_t context = 0;
  double bytes_per_weight = 2;
  uint64_t layer_weights = 0;      // of one layer, all experts
  uint64_t head_weights = 0;       // read for logits; tied to the embedding or not
  uint64_t embedding_weights = 0;  // of tables that are only gathered from; 0 where tied
  int32_t experts = 0;             // 0: dense
  int32_t experts_used = 0;        // by a token
  uint64_t expert_weights = 0;     // of one expert of one layer

  // Of keys and values of a token, in 16-bit floats, over all layers.
  [[nodiscard]] uint64_t KvBytesPerToken() const {
    return uint64_t{4} * static_cast<uint64_t>(layers) * static_cast<uint64_t>(kv_heads) *
           static_cast<uint64_t>(head_dim);
  }
  [[nodiscard]] uint64_t WeightBytes() const {
    const uint64_t count =
        static_cast<uint64_t>(layers) * layer_weights + head_weights + embedding_weights;
    return static_cast<uint64_t>(static_cast<double>(count) * bytes_per_weight);
  }
  // Weights of a layer that `tokens` tokens read, when each picks its experts at random.
  [[nodiscard]] double LayerWeightsRead(int64_t tokens) const;
  // Weights of a layer that one token is multiplied by.
  [[nodiscard]] double LayerWeightsUsed() const;
};

// The shapes there are, each with its source beside it in the file.
[[nodiscard]] const std::vector<ModelShape>& ModelShapes();
// kNotFound with the names there are.
[[nodiscard]] Result<ModelShape> FindModelShape(std::string_view name);

}  // namespace mirage::sim
