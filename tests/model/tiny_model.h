// SPDX-License-Identifier: Apache-2.0
#pragma once

// TinyModel: GGUF files of any geometry, made in memory with random weights.

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tensor/quantize.h"
#include "tests/format/gguf_builder.h"

namespace mirage::model {

struct TinyModel {
  std::string architecture = "llama";  // or "gemma3", which has windows, or "qwen3moe"
  uint32_t layers = 2;
  uint32_t embedding = 64;
  uint32_t vocabulary = 96;
  uint32_t heads = 4;
  uint32_t kv_heads = 2;
  uint32_t head_dim = 16;
  uint32_t ffn = 128;                       // qwen3moe: of each expert
  uint32_t experts = 6;                     // qwen3moe
  uint32_t experts_used = 2;                // qwen3moe
  std::vector<uint32_t> ffn_of_layer;       // instead of `ffn`
  std::vector<uint32_t> kv_heads_of_layer;  // instead of `kv_heads`
  uint32_t context = 2048;
  uint32_t window = 64;         // gemma3
  uint32_t window_pattern = 2;  // gemma3: every so many layers one of full attention
  bool tied = false;
  tensor::DType dtype = tensor::DType::kF32;  // of matrices
  uint32_t seed = 1;

  // The file, to be spoiled before Build() where a test wants that.
  [[nodiscard]] test::GgufBuilder File() const {
    test::GgufBuilder file;
    const auto key = [this](const char* suffix) { return architecture + "." + suffix; };
    file.AddKey("general.architecture", architecture)
        .AddKey(key("block_count"), layers)
        .AddKey(key("embedding_length"), embedding)
        .AddKey(key("context_length"), context)
        .AddKey(key("attention.layer_norm_rms_epsilon"), 1e-5f)
        .AddKey(key("attention.head_count"), heads)
        .AddKey(key("attention.key_length"), head_dim)
        .AddKey(key("attention.value_length"), head_dim);
    AddPerLayer(file, key("attention.head_count_kv"), kv_heads, kv_heads_of_layer);
    AddPerLayer(file, key("feed_forward_length"), ffn, ffn_of_layer);
    if (gemma())
      file.AddKey(key("attention.sliding_window"), window)
          .AddKey(key("attention.sliding_window_pattern"), window_pattern);

    if (moe())
      file.AddKey(key("expert_count"), experts)
          .AddKey(key("expert_used_count"), experts_used)
          .AddKey(key("expert_feed_forward_length"), ffn);

    std::mt19937 random(seed);
    AddMatrix(file, random, "token_embd.weight", embedding, vocabulary);
    AddVector(file, random, "output_norm.weight", embedding);
    if (!tied) AddMatrix(file, random, "output.weight", embedding, vocabulary);
    for (uint32_t layer = 0; layer < layers; ++layer) AddLayer(file, random, layer);
    return file;
  }
  [[nodiscard]] std::vector<std::byte> Build() const { return File().Build(); }

 private:
  [[nodiscard]] bool gemma() const { return architecture == "gemma3"; }
  [[nodiscard]] bool moe() const { return architecture == "qwen3moe"; }

  static void AddPerLayer(test::GgufBuilder& file, const std::string& key, uint32_t value,
                          const std::vector<uint32_t>& values) {
    if (values.empty())
      file.AddKey(key, value);
    else
      file.AddKey(key, values);
  }

  void AddLayer(test::GgufBuilder& file, std::mt19937& random, uint32_t layer) const {
    const auto name = [layer](const char* tensor) {
      return "blk." + std::to_string(layer) + "." + tensor;
    };
    const uint32_t q_rows = heads * head_dim;
    const uint32_t kv_rows =
        (kv_heads_of_layer.empty() ? kv_heads : kv_heads_of_layer[layer]) * head_dim;
    const uint32_t width = ffn_of_layer.empty() ? ffn : ffn_of_layer[layer];
    AddVector(file, random, name("attn_norm.weight"), embedding);
    AddMatrix(file, random, name("attn_q.weight"), embedding, q_rows);
    AddMatrix(file, random, name("attn_k.weight"), embedding, kv_rows);
    AddMatrix(file, random, name("attn_v.weight"), embedding, kv_rows);
    AddMatrix(file, random, name("attn_output.weight"), q_rows, embedding);
    AddVector(file, random, name("ffn_norm.weight"), embedding);
    if (moe()) {
      AddRouter(file, random, name("ffn_gate_inp.weight"));
      AddMatrix(file, random, name("ffn_gate_exps.weight"), embedding, width, experts);
      AddMatrix(file, random, name("ffn_up_exps.weight"), embedding, width, experts);
      AddMatrix(file, random, name("ffn_down_exps.weight"), width, embedding, experts);
    } else {
      AddMatrix(file, random, name("ffn_gate.weight"), embedding, width);
      AddMatrix(file, random, name("ffn_up.weight"), embedding, width);
      AddMatrix(file, random, name("ffn_down.weight"), width, embedding);
    }
    if (!gemma() && !moe()) return;
    AddVector(file, random, name("attn_q_norm.weight"), head_dim);
    AddVector(file, random, name("attn_k_norm.weight"), head_dim);
    if (!gemma()) return;
    AddVector(file, random, name("post_attention_norm.weight"), embedding);
    AddVector(file, random, name("post_ffw_norm.weight"), embedding);
  }

  // Values small enough that a few layers keep them in range.
  void AddMatrix(test::GgufBuilder& file, std::mt19937& random, const std::string& name,
                 uint32_t cols, uint32_t rows, uint32_t matrices = 1) const {
    const float range = std::sqrt(3.0f / static_cast<float>(cols));
    std::vector<float> row(cols);
    const tensor::DTypeInfo& info = tensor::Info(dtype);
    const size_t row_bytes = cols / info.block_elements * info.block_bytes;
    std::vector<std::byte> data(row_bytes * rows * matrices);
    for (uint32_t r = 0; r < rows * matrices; ++r) {
      for (float& value : row) value = range * Unit(random);
      tensor::QuantizeRow(dtype, row.data(), data.data() + r * row_bytes, cols);
    }
    std::vector<uint64_t> dims = {cols, rows};
    if (matrices > 1) dims.push_back(matrices);
    file.AddTensor(name, dtype, dims, std::move(data));
  }
  // A float matrix, as in all files; its logits are far apart.
  void AddRouter(test::GgufBuilder& file, std::mt19937& random, const std::string& name) const {
    std::vector<float> values(size_t{embedding} * experts);
    for (float& value : values)
      value = 2 * std::sqrt(3.0f / static_cast<float>(embedding)) * Unit(random);
    file.AddTensor(name, {embedding, experts}, values);
  }
  static void AddVector(test::GgufBuilder& file, std::mt19937& random, const std::string& name,
                        uint32_t length) {
    std::vector<float> values(length);
    for (float& value : values) value = 1.0f + 0.3f * Unit(random);
    file.AddTensor(name, {length}, values);
  }
  // In [-1, 1), the same with every standard library.
  static float Unit(std::mt19937& random) {
    return static_cast<float>(random()) / 2147483648.0f - 1.0f;
  }
};

// A model whose matrices and head span many regions: 11 MiB in Q8_0.
inline TinyModel ModelOfManyRegions() {
  TinyModel model;
  model.architecture = "gemma3";
  model.layers = 3;
  model.embedding = 512;
  model.vocabulary = 5003;
  model.heads = 8;
  model.kv_heads = 2;
  model.head_dim = 64;
  model.ffn = 1536;
  model.window = 40;
  model.tied = true;
  model.dtype = tensor::DType::kQ8_0;
  return model;
}

// A mixture of experts of 5 MiB in Q8_0; several regions to an expert, and odd numbers of them.
inline TinyModel ModelOfManyExperts() {
  TinyModel model;
  model.architecture = "qwen3moe";
  model.layers = 3;
  model.embedding = 128;
  model.vocabulary = 503;
  model.heads = 4;
  model.kv_heads = 2;
  model.head_dim = 32;
  model.ffn = 160;
  model.experts = 23;
  model.experts_used = 3;
  model.dtype = tensor::DType::kQ8_0;
  return model;
}

}  // namespace mirage::model
