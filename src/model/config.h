// SPDX-License-Identifier: Apache-2.0
#pragma once

// Config: everything about a model that its forward pass depends on, as options and numbers.
//
// An architecture's file (model/arch/) fills it from the model file's keys; nothing later asks for
// the architecture's name. Each option names the paper or model it comes from.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/ops.h"
#include "kv/geometry.h"

namespace mirage::model {

enum class RopeScaling : uint8_t {
  kNone,
  kLinear,   // positions divided by `factor` (arXiv 2306.15595)
  kYarn,     // arXiv 2309.00071
  kFactors,  // each frequency divided by its own factor: Llama 3.1's tensor, LongRoPE (arXiv
             // 2402.13753)
};

// One rotary embedding; layers refer to it by index (Gemma 3 has two).
struct RopeConfig {
  float base = 10000.0f;
  std::string_view base_key = "rope.freq_base";  // where it stands, for messages
  int32_t rotary = 0;  // values of a head that are rotated; 0: no rotary embedding
  kernels::RopePairs pairs = kernels::RopePairs::kAdjacent;
  RopeScaling scaling = RopeScaling::kNone;
  float factor = 1.0f;
  std::vector<float> factors;  // kFactors: [rotary / 2]
  float magnitude = 1.0f;      // multiplies cos and sin (YaRN's and LongRoPE's attention factor)
  // YaRN's ramp.
  float original_context = 0;
  float beta_fast = 32.0f;
  float beta_slow = 1.0f;
  float extrapolation = 1.0f;
};

// A mixture of experts in place of one feed-forward (arXiv 1701.06538): a router gives each token
// to the `used` experts it finds likeliest and adds up their outputs by their weights.
struct ExpertsConfig {
  int32_t count = 0;  // 0: one feed-forward
  int32_t used = 0;
  bool normalize = false;  // the weights of a token's experts sum to 1 (norm_topk_prob)
};

struct LayerConfig {
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t ffn = 0;  // of each expert, where there are experts
  ExpertsConfig experts;
  int64_t window =
      0;  // 0: full attention; else a query sees the last `window` positions, itself included
  int32_t rope = 0;  // index into Config::ropes
};

// A head that says of a text, by the hidden state of its last token, which class it is of (Qwen 3
// rerankers: yes or no). Small, so its user multiplies.
struct ClassifierConfig {
  int32_t classes = 0;        // 0: there is none
  std::vector<float> weight;  // [classes][embedding]
};

struct Config {
  std::string architecture;
  int32_t embedding = 0;
  int32_t vocabulary = 0;
  int64_t context = 0;  // the length the model was trained for
  float norm_epsilon = 1e-5f;
  std::vector<LayerConfig> layers;
  std::vector<RopeConfig> ropes;

  kernels::Activation activation = kernels::Activation::kSilu;
  float embedding_scale = 1.0f;    // Gemma: sqrt(embedding)
  float attention_scale = 0.0f;    // of q.k
  float attention_softcap = 0.0f;  // Gemma 2; 0: none
  float final_softcap = 0.0f;      // Gemma 2; 0: none
  ClassifierConfig classifier;

  // Layers grouped for the cache: equal kind, window and page size.
  [[nodiscard]] kv::Geometry CacheGeometry(kv::KvType type) const;
  // Bounds and divisibility of everything above; kCorrupt about the key. Called once, after the
  // architecture's file and before anything is allocated.
  [[nodiscard]] Status Validate() const;
};

}  // namespace mirage::model
