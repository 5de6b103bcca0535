// SPDX-License-Identifier: Apache-2.0
#include "model/config.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/file_error.h"

namespace mirage::model {

namespace {

// Far above any published model; what they protect is arithmetic on sizes and the time to refuse a
// hostile file.
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxContext = int64_t{1} << 30;
constexpr int64_t kMaxHeads = 4096;
constexpr int64_t kMaxExperts = 1024;
constexpr int64_t kMaxExpertsOfAllLayers = 1 << 17;  // each is two regions at least
constexpr int64_t kMaxHeadDim = kernels::kMaxHeadDim;

std::string Text(float value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", static_cast<double>(value));
  return text;
}

// The checks of one Config, each about the key that states the value.
class Validator {
 public:
  explicit Validator(const Config& config) : config_(config) {}

  Status Run() const {
    MIRAGE_TRY(InRange("block_count", static_cast<int64_t>(config_.layers.size()), 1, kMaxLayers));
    MIRAGE_TRY(InRange("embedding_length", config_.embedding, 1, kMaxWidth));
    if (config_.vocabulary < 1 || config_.vocabulary > kMaxVocabulary)
      return TensorError(Code::kCorrupt, "token_embd.weight",
                         "has " + std::to_string(config_.vocabulary) + " rows, outside 1.." +
                             std::to_string(kMaxVocabulary));
    MIRAGE_TRY(InRange("context_length", config_.context, 1, kMaxContext));
    MIRAGE_TRY(Positive("attention.layer_norm_rms_epsilon", config_.norm_epsilon));
    MIRAGE_TRY(SoftCap("attn_logit_softcapping", config_.attention_softcap));
    MIRAGE_TRY(SoftCap("final_logit_softcapping", config_.final_softcap));
    for (const RopeConfig& rope : config_.ropes) MIRAGE_TRY(CheckRope(rope));
    for (size_t i = 0; i < config_.layers.size(); ++i) MIRAGE_TRY(CheckLayer(i));
    MIRAGE_TRY(CheckExperts());
    // No key states these; they follow from what was checked above.
    for (const float scale : {config_.embedding_scale, config_.attention_scale})
      if (!(std::isfinite(scale) && scale > 0))
        return Fail(Code::kInternal, "a scale of the model is " + Text(scale));
    return {};
  }

 private:
  tl::unexpected<Error> About(std::string_view suffix, const std::string& problem,
                              uint64_t element = 0) const {
    return KeyError(Code::kCorrupt, config_.architecture + "." + std::string(suffix), problem,
                    element);
  }
  Status InRange(std::string_view suffix, int64_t value, int64_t least, int64_t most,
                 const std::string& where = "", uint64_t element = 0) const {
    if (value >= least && value <= most) return {};
    return About(suffix,
                 "is " + std::to_string(value) + where + ", outside " + std::to_string(least) +
                     ".." + std::to_string(most),
                 element);
  }
  Status Finite(std::string_view suffix, float value) const {
    if (std::isfinite(value)) return {};
    return About(suffix, "is " + Text(value) + ", not a finite number");
  }
  Status Positive(std::string_view suffix, float value) const {
    if (std::isfinite(value) && value > 0) return {};
    return About(suffix, "is " + Text(value) + ", not a positive number");
  }
  Status SoftCap(std::string_view suffix, float value) const {
    if (std::isfinite(value) && value >= 0) return {};
    return About(suffix, "is " + Text(value) + ", not a number >= 0");
  }

  Status CheckRope(const RopeConfig& rope) const {
    MIRAGE_TRY(InRange("rope.dimension_count", rope.rotary, 0, kMaxHeadDim));
    if (rope.rotary % 2 != 0)
      return About("rope.dimension_count", "is " + std::to_string(rope.rotary) + ", which is odd");
    MIRAGE_TRY(Finite(rope.base_key, rope.base));
    if (rope.rotary > 0 && rope.base <= 1)
      return About(rope.base_key, "is " + Text(rope.base) + ", not above 1");
    MIRAGE_TRY(Positive("rope.scaling.factor", rope.factor));
    MIRAGE_TRY(Finite("rope.scaling.attn_factor", rope.magnitude));
    MIRAGE_TRY(Finite("rope.scaling.original_context_length", rope.original_context));
    MIRAGE_TRY(Finite("rope.scaling.yarn_beta_fast", rope.beta_fast));
    MIRAGE_TRY(Finite("rope.scaling.yarn_beta_slow", rope.beta_slow));
    MIRAGE_TRY(Finite("rope.scaling.yarn_ext_factor", rope.extrapolation));
    if (rope.scaling != RopeScaling::kFactors) return {};
    if (rope.factors.size() != static_cast<size_t>(rope.rotary / 2))
      return Fail(Code::kInternal, std::to_string(rope.factors.size()) + " frequency factors for " +
                                       std::to_string(rope.rotary / 2) + " frequencies");
    // The tensor's own were checked when it was read; a scaling may have multiplied them.
    for (const float factor : rope.factors)
      if (!(std::isfinite(factor) && factor > 0))
        return About("rope.scaling.factor", "makes a frequency's factor " + Text(factor));
    return {};
  }

  Status CheckLayer(size_t index) const {
    const LayerConfig& layer = config_.layers[index];
    const std::string where = " in layer " + std::to_string(index);
    MIRAGE_TRY(InRange("attention.head_count", layer.heads, 1, kMaxHeads, where, index));
    MIRAGE_TRY(InRange("attention.head_count_kv", layer.kv_heads, 1, layer.heads, where, index));
    MIRAGE_TRY(InRange("attention.key_length", layer.head_dim, 1, kMaxHeadDim, where));
    MIRAGE_TRY(InRange("feed_forward_length", layer.ffn, 1, kMaxWidth, where, index));
    MIRAGE_TRY(InRange("attention.sliding_window", layer.window, 0, kMaxContext, where, index));
    if (layer.rope < 0 || layer.rope >= static_cast<int64_t>(config_.ropes.size()))
      return Fail(Code::kInternal, "rope " + std::to_string(layer.rope) + where + " of " +
                                       std::to_string(config_.ropes.size()));
    if (layer.head_dim != config_.layers[0].head_dim)
      return KeyError(Code::kUnsupported, config_.architecture + ".attention.head_count",
                      "gives heads of " + std::to_string(layer.head_dim) + where + ", of " +
                          std::to_string(config_.layers[0].head_dim) + " in layer 0",
                      index);
    if (layer.heads % layer.kv_heads != 0)
      return About("attention.head_count_kv",
                   "is " + std::to_string(layer.kv_heads) + where + ", which does not divide the " +
                       std::to_string(layer.heads) + " of attention.head_count",
                   index);
    return InRange("rope.dimension_count", config_.ropes[static_cast<size_t>(layer.rope)].rotary, 0,
                   layer.head_dim, where);
  }

  Status CheckExperts() const {
    int64_t all = 0;
    for (const LayerConfig& layer : config_.layers) {
      const ExpertsConfig& experts = layer.experts;
      if (experts.count == 0) continue;
      MIRAGE_TRY(InRange("expert_count", experts.count, 1, kMaxExperts));
      if (experts.used < 1 || experts.used > experts.count)
        return About("expert_used_count", "is " + std::to_string(experts.used) + ", outside 1.." +
                                              std::to_string(experts.count) +
                                              ", the value of expert_count");
      all += experts.count;
    }
    if (all <= kMaxExpertsOfAllLayers) return {};
    return About("expert_count", "gives the model " + std::to_string(all) +
                                     " experts, the limit is " +
                                     std::to_string(kMaxExpertsOfAllLayers));
  }

  const Config& config_;
};

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

Status Config::Validate() const { return Validator(*this).Run(); }

}  // namespace mirage::model
