// SPDX-License-Identifier: Apache-2.0
#include "model/workspace.h"

#include <algorithm>

#include "base/checked.h"

namespace mirage::model {

WorkspaceLayout::WorkspaceLayout(const Config& config, const WorkspaceSize& size) {
  const int64_t tokens = size.step_tokens;
  int64_t q_width = 0;
  int64_t kv_width = 0;
  int64_t ffn = 0;
  int64_t experts = 0;
  int64_t used = 0;
  for (const LayerConfig& layer : config.layers) {
    q_width = std::max(q_width, int64_t{layer.heads} * layer.head_dim);
    kv_width = std::max(kv_width, int64_t{layer.kv_heads} * layer.head_dim);
    ffn = std::max(ffn, int64_t{layer.ffn});
    experts = std::max(experts, int64_t{layer.experts.count});
    used = std::max(used, int64_t{layer.experts.used});
    const int64_t splits = size.context / kernels::kSplitTokens + 2;
    scratch_floats =
        std::max(scratch_floats, kScratchRows * splits * layer.heads * (layer.head_dim + 2));
  }
  int64_t rope_values = 0;
  for (const RopeConfig& rope_config : config.ropes) rope_values += rope_config.rotary;

  const auto place = [this](int64_t count, uint64_t element_bytes) {
    const uint64_t offset = total;
    total = RoundUp(total + static_cast<uint64_t>(count) * element_bytes, 64);
    return offset;
  };
  const int64_t widest = std::max({int64_t{config.embedding}, q_width, ffn});
  hidden = place(tokens * config.embedding, sizeof(float));
  normed = place(tokens * config.embedding, sizeof(float));
  const auto place_blocks = [&](int64_t cols) {
    return place(tokens * ((cols + kernels::kBlock - 1) / kernels::kBlock),
                 sizeof(kernels::ActBlock));
  };
  quantized = place_blocks(widest);
  q = place(tokens * q_width, sizeof(float));
  k = place(tokens * kv_width, sizeof(float));
  v = place(tokens * kv_width, sizeof(float));
  attended = place(tokens * q_width, sizeof(float));
  scratch = place(scratch_floats, sizeof(float));
  gate = place(tokens * ffn, sizeof(float));
  up = place(tokens * ffn, sizeof(float));
  projected = place(tokens * config.embedding, sizeof(float));
  if (experts > 0) {
    pairs = static_cast<int32_t>(tokens);
    router_logits = place(tokens * experts, sizeof(float));
    chosen = place(tokens * used, sizeof(int32_t));
    chosen_weights = place(tokens * used, sizeof(float));
    pair_rows = place(tokens * used, sizeof(int32_t));
    pair_weights = place(tokens * used, sizeof(float));
    expert_x = place(tokens * config.embedding, sizeof(float));
    expert_x_blocks = place_blocks(config.embedding);
    expert_h_blocks = place_blocks(ffn);
    expert_y = place(tokens * config.embedding, sizeof(float));
  }
  rope = place(tokens * rope_values, sizeof(float));
  gathered = place(tokens, size.embedding_row_bytes);
  logits = place(std::max(size.logit_rows * config.vocabulary, kScoreRows * size.head_block_rows),
                 sizeof(float));
}

}  // namespace mirage::model
