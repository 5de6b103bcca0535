// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the architectures' files share: the keys and tensor names that mean the same in all of them.

#include "base/result.h"
#include "model/config.h"
#include "model/reader.h"
#include "model/tensor_map.h"

namespace mirage::model {

// Fills sizes, per-layer heads and widths, epsilon, context, the vocabulary's size and the
// attention scale 1/sqrt(head_dim); no rope.
[[nodiscard]] Status ReadSizes(Reader& reader, Config& config);

// The rope of "<arch>.rope.*", with its scaling; a file's "rope_freqs.weight" divides the
// frequencies.
[[nodiscard]] Result<RopeConfig> ReadRope(Reader& reader, const Config& config,
                                          kernels::RopePairs pairs);

// Embedding, final norm and head; the head is the embedding where the file has none.
[[nodiscard]] Status BindEnds(Reader& reader, const Config& config, TensorMap& map);

// "cls.output.weight", if the file has it: the rows of a reranker's head that llama.cpp's converter
// keeps. kUnsupported for one, or for more than anybody ranks by;
// kCorrupt for weights that are no numbers.
[[nodiscard]] Status ReadClassifier(Reader& reader, Config& config);

// One layer's tensors under their usual names: attn_norm, attn_{q,k,v,output}, ffn_norm,
// ffn_{gate,up,down}, and every bias that is in the file.
[[nodiscard]] Status BindAttention(Reader& reader, const Config& config, int32_t layer,
                                   TensorMap& map);
[[nodiscard]] Status BindFeedForward(Reader& reader, const Config& config, int32_t layer,
                                     TensorMap& map);
// The experts of every layer: expert_count, expert_used_count and expert_feed_forward_length, which
// becomes the layers' width.
[[nodiscard]] Status ReadExperts(Reader& reader, Config& config);
// One layer's ffn_norm, ffn_gate_inp (the router) and ffn_{gate,up,down}_exps.
[[nodiscard]] Status BindExperts(Reader& reader, const Config& config, int32_t layer,
                                 TensorMap& map);
// attn_q_norm and attn_k_norm, a norm per head (Qwen 3, Gemma 3).
[[nodiscard]] Status BindHeadNorms(Reader& reader, const Config& config, int32_t layer,
                                   TensorMap& map);
// post_attention_norm and post_ffw_norm, on a block's output (Gemma 2 and 3).
[[nodiscard]] Status BindPostNorms(Reader& reader, const Config& config, int32_t layer,
                                   TensorMap& map);

// "blk.<layer>.<name>"
[[nodiscard]] std::string LayerTensor(int32_t layer, std::string_view name);

}  // namespace mirage::model
