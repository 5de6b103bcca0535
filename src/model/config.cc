// SPDX-License-Identifier: Apache-2.0
#include "model/config.h"

#include <cmath>
#include <string>

namespace mirage::model {

namespace {

// Far above any published model; what they protect is arithmetic on sizes and the time to refuse a
// hostile file.
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxContext = int64_t{1} << 30;
constexpr int64_t kMaxHeads = 4096;
constexpr int64_t kMaxHeadDim = kernels::kMaxHeadDim;

Status InRange(const std::string& what, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return {};
  return Fail(Code::kCorrupt, what + " is " + std::to_string(value) + ", outside " +
                                  std::to_string(least) + ".." + std::to_string(most));
}

Status Finite(const std::string& what, float value) {
  if (std::isfinite(value)) return {};
  return Fail(Code::kCorrupt, what + " is not a finite number");
}

Status ValidateRope(const RopeConfig& rope, const std::string& where) {
  MIRAGE_TRY(InRange(where + " dimension count", rope.rotary, 0, kMaxHeadDim));
  if (rope.rotary % 2 != 0)
    return Fail(Code::kCorrupt,
                where + " dimension count " + std::to_string(rope.rotary) + " is odd");
  for (const float value : {rope.base, rope.factor, rope.magnitude, rope.original_context,
                            rope.beta_fast, rope.beta_slow, rope.extrapolation})
    MIRAGE_TRY(Finite(where + " parameter", value));
  if (rope.rotary > 0 && (rope.base <= 1 || rope.factor <= 0))
    return Fail(Code::kCorrupt, where + " base must be above 1 and its scaling factor positive");
  if (rope.scaling != RopeScaling::kFactors) return {};
  if (rope.factors.size() != static_cast<size_t>(rope.rotary / 2))
    return Fail(Code::kCorrupt, where + " has " + std::to_string(rope.factors.size()) +
                                    " frequency factors for " + std::to_string(rope.rotary / 2) +
                                    " frequencies");
  for (const float factor : rope.factors)
    if (!(std::isfinite(factor) && factor > 0))
      return Fail(Code::kCorrupt, where + " has a frequency factor that is not a positive number");
  return {};
}

}  // namespace

kv::Geometry Config::CacheGeometry(kv::KvType type) const {
  kv::Geometry groups;
  for (size_t index = 0; index < layers.size(); ++index) {
    const LayerConfig& layer = layers[index];
    const kv::CacheKind kind = layer.window > 0 ? kv::CacheKind::kWindow : kv::CacheKind::kFull;
    kv::LayerGroup* group = nullptr;
    for (kv::LayerGroup& candidate : groups)
      if (candidate.kind == kind && candidate.window == layer.window &&
          candidate.kv_heads == layer.kv_heads && candidate.head_dim == layer.head_dim)
        group = &candidate;
    if (group == nullptr)
      group = &groups.emplace_back(
          kv::LayerGroup{kind, layer.window, layer.kv_heads, layer.head_dim, {}, type});
    group->layers.push_back(static_cast<int32_t>(index));
  }
  return groups;
}

Status Config::Validate() const {
  MIRAGE_TRY(InRange("block_count", static_cast<int64_t>(layers.size()), 1, kMaxLayers));
  MIRAGE_TRY(InRange("embedding_length", embedding, 1, kMaxWidth));
  MIRAGE_TRY(InRange("vocabulary", vocabulary, 1, kMaxVocabulary));
  MIRAGE_TRY(InRange("context_length", context, 1, kMaxContext));
  if (!(std::isfinite(norm_epsilon) && norm_epsilon > 0))
    return Fail(Code::kCorrupt, "the norm's epsilon is not a positive number");
  MIRAGE_TRY(Finite("the embedding scale", embedding_scale));
  for (const float cap : {attention_softcap, final_softcap})
    if (!(std::isfinite(cap) && cap >= 0))
      return Fail(Code::kCorrupt, "a logit soft cap is not a number >= 0");
  if (!(std::isfinite(attention_scale) && attention_scale > 0))
    return Fail(Code::kCorrupt, "the attention scale is not a positive number");
  for (size_t i = 0; i < ropes.size(); ++i)
    MIRAGE_TRY(ValidateRope(ropes[i], "rope " + std::to_string(i)));
  for (size_t i = 0; i < layers.size(); ++i) {
    const LayerConfig& layer = layers[i];
    const std::string where = "layer " + std::to_string(i) + ": ";
    MIRAGE_TRY(InRange(where + "head_count", layer.heads, 1, kMaxHeads));
    MIRAGE_TRY(InRange(where + "head_count_kv", layer.kv_heads, 1, layer.heads));
    MIRAGE_TRY(InRange(where + "head length", layer.head_dim, 1, kMaxHeadDim));
    MIRAGE_TRY(InRange(where + "feed_forward_length", layer.ffn, 1, kMaxWidth));
    MIRAGE_TRY(InRange(where + "sliding_window", layer.window, 0, kMaxContext));
    MIRAGE_TRY(
        InRange(where + "rope index", layer.rope, 0, static_cast<int64_t>(ropes.size()) - 1));
    if (layer.head_dim != layers[0].head_dim)
      return Fail(Code::kUnsupported, where + "head length " + std::to_string(layer.head_dim) +
                                          " differs from layer 0's " +
                                          std::to_string(layers[0].head_dim));
    if (layer.heads % layer.kv_heads != 0)
      return Fail(Code::kCorrupt, where + "head_count " + std::to_string(layer.heads) +
                                      " is not a multiple of head_count_kv " +
                                      std::to_string(layer.kv_heads));
    MIRAGE_TRY(
        InRange(where + "rope dimension count", ropes[layer.rope].rotary, 0, layer.head_dim));
  }
  return {};
}

}  // namespace mirage::model
