// SPDX-License-Identifier: Apache-2.0
#pragma once

// Workspace: the buffers of one forward pass, laid out once for the largest step.
//
// The sizes come from the Config alone, so the plan states them before anything is loaded.

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"
#include "model/config.h"

namespace mirage::model {

// Rows of the head that are scored together; more would hold more logits than the plan says.
inline constexpr int64_t kScoreRows = 8;

// Rows of a step whose attention may be spread over threads by splits
// (kernels::AttentionArgs::scratch): steps of more rows have enough work for all threads without.
inline constexpr int64_t kScratchRows = 2;

struct WorkspaceSize {
  int64_t step_tokens = 0;  // M, the most rows of a step
  int64_t logit_rows = 0;
  int64_t context = 0;
  uint64_t embedding_row_bytes = 0;  // as the file stores them
  int64_t head_block_rows = 0;       // ModelLayout::head_block_rows
};

// Offsets of buffers in one block, each 64-byte aligned.
struct WorkspaceLayout {
  WorkspaceLayout(const Config& config, const WorkspaceSize& size);

  uint64_t hidden = 0;     // [M, embedding] the residual stream
  uint64_t normed = 0;     // [pairs, embedding]
  uint64_t quantized = 0;  // [M, widest / 32] ActBlock: a matmul's input
  uint64_t q = 0;          // [M, heads * head_dim]
  uint64_t k = 0;          // [M, kv_heads * head_dim]
  uint64_t v = 0;          // [M, kv_heads * head_dim]
  uint64_t attended = 0;   // [M, heads * head_dim]
  uint64_t scratch = 0;    // of attention
  int64_t scratch_floats = 0;
  uint64_t gate = 0;       // [M, ffn]
  uint64_t up = 0;         // [M, ffn]
  uint64_t projected = 0;  // [M, embedding] a block's output before it is added
  // Of mixtures of experts. A pair is a row and one of its experts. As many are computed at once as
  // a step has rows, which is the most that one expert has.
  int32_t pairs = 0;
  uint64_t router_logits = 0;    // [M, experts]
  uint64_t chosen = 0;           // [M, used] int32_t
  uint64_t chosen_weights = 0;   // [M, used]
  uint64_t pair_rows = 0;        // [M * used] int32_t
  uint64_t pair_weights = 0;     // [M * used]
  uint64_t expert_x = 0;         // [pairs, embedding]
  uint64_t expert_x_blocks = 0;  // [M, embedding / 32] ActBlock
  uint64_t expert_h_blocks = 0;  // [pairs, ffn / 32] ActBlock
  uint64_t expert_y = 0;         // [pairs, embedding]
  uint64_t rope = 0;             // per rope: cos, sin [M, rotary / 2]
  uint64_t gathered = 0;         // [M, embedding row bytes] as the file stores them
  uint64_t logits = 0;           // [logit_rows, vocabulary]; when scoring, partial rows of the head
  uint64_t total = 0;            // bytes
};

// The buffer at one of a layout's offsets from its block.
template <typename T>
[[nodiscard]] T* BufferAt(std::byte* block, uint64_t offset) {
  return reinterpret_cast<T*>(block + offset);
}

}  // namespace mirage::model
