// SPDX-License-Identifier: Apache-2.0
#include "model/arch/common.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/printable.h"

namespace mirage::model {

namespace {

constexpr uint32_t kMostLayers =
    1024;  // Config::Validate's bound, needed before per-layer arrays are made

// A count that the key states (of that layer), believed up to a bound far above any model's.
Result<int32_t> Size(const Reader& reader, std::string_view suffix, uint64_t value,
                     uint64_t layer = 0) {
  constexpr uint64_t kMost = 1 << 30;
  if (value == 0 || value > kMost)
    return reader.AboutKey(Code::kCorrupt, suffix,
                           "is " + std::to_string(value) + ", outside 1.." + std::to_string(kMost),
                           layer);
  return static_cast<int32_t>(value);
}

// The length of a layer's heads: the key's, or what the embedding's width gives each.
Result<int32_t> HeadLength(const Reader& reader, uint64_t embedding, uint64_t heads,
                           uint64_t layer) {
  MIRAGE_TRY_ASSIGN(const uint64_t length,
                    reader.KeyOr<uint64_t>("attention.key_length", embedding / heads));
  MIRAGE_TRY_ASSIGN(const uint64_t values,
                    reader.KeyOr<uint64_t>("attention.value_length", length));
  if (length < 1 || length > kernels::kMaxHeadDim) {
    const std::string outside = ", outside 1.." + std::to_string(kernels::kMaxHeadDim);
    if (reader.Has("attention.key_length"))
      return reader.AboutKey(Code::kCorrupt, "attention.key_length",
                             "is " + std::to_string(length) + outside);
    return reader.AboutKey(Code::kCorrupt, "attention.head_count",
                           "is " + std::to_string(heads) + ": of an embedding of " +
                               std::to_string(embedding) + ", a head has " +
                               std::to_string(length) + outside,
                           layer);
  }
  if (length != values)
    return reader.AboutKey(
        Code::kUnsupported, "attention.value_length",
        "is " + std::to_string(values) + ", the length of keys is " + std::to_string(length));
  return static_cast<int32_t>(length);
}

// The factors of a tensor, each a positive number.
Result<std::vector<float>> ReadFactors(Reader& reader, std::string_view tensor, int64_t count) {
  MIRAGE_TRY_ASSIGN(std::vector<float> factors, reader.Values(tensor, count));
  for (size_t i = 0; i < factors.size(); ++i)
    if (!(std::isfinite(factors[i]) && factors[i] > 0))
      return TensorError(Code::kCorrupt, tensor,
                         "holds " + std::to_string(factors[i]) + " for frequency " +
                             std::to_string(i) + ", which is not a positive number");
  return factors;
}

// The embedding's rows. It has one for every token, or a token could not be computed with; more are
// padding, which many models are trained with. The key "vocab_size" is no third opinion: converters
// copy it from the training's configuration, where it may count rows that the file leaves out or
// lack tokens that were added since, so a file that runs well may contradict it. It must be a
// number, and session/loaded_model.cc warns of one that cannot be meant.
Result<int32_t> ReadVocabularySize(const Reader& reader) {
  constexpr std::string_view kTable = "token_embd.weight";
  constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
  constexpr int64_t kMost = 1 << 30;
  MIRAGE_TRY_ASSIGN(const format::TensorInfo* const table, reader.file().GetTensor(kTable));
  const int64_t rows = table->shape.rows();
  MIRAGE_TRY(reader.KeyOr<uint64_t>("vocab_size", 0));
  const format::MetadataEntry* tokens = reader.file().metadata().Find(kTokens);
  if (tokens != nullptr && tokens->is_array() && tokens->count > static_cast<uint64_t>(rows))
    return TensorError(Code::kCorrupt, kTable,
                       "has " + std::to_string(rows) + " rows for the " +
                           std::to_string(tokens->count) + " tokens of key '" +
                           std::string(kTokens) + "'");
  if (rows > kMost)
    return TensorError(
        Code::kCorrupt, kTable,
        "has " + std::to_string(rows) + " rows, the limit is " + std::to_string(kMost));
  return static_cast<int32_t>(rows);
}

// Linear scaling under its present and its older key.
Status ReadLinear(Reader& reader, RopeConfig& rope) {
  MIRAGE_TRY_ASSIGN(const float older, reader.KeyOr<float>("rope.scale_linear", 1.0f));
  MIRAGE_TRY_ASSIGN(rope.factor, reader.KeyOr<float>("rope.scaling.factor", older));
  if (rope.factor != 1.0f) rope.scaling = RopeScaling::kLinear;
  return {};
}

Status ReadYarn(Reader& reader, RopeConfig& rope) {
  rope.scaling = RopeScaling::kYarn;
  MIRAGE_TRY_ASSIGN(rope.factor, reader.Key<float>("rope.scaling.factor"));
  MIRAGE_TRY_ASSIGN(rope.original_context,
                    reader.Key<float>("rope.scaling.original_context_length"));
  MIRAGE_TRY_ASSIGN(rope.beta_fast, reader.KeyOr<float>("rope.scaling.yarn_beta_fast", 32.0f));
  MIRAGE_TRY_ASSIGN(rope.beta_slow, reader.KeyOr<float>("rope.scaling.yarn_beta_slow", 1.0f));
  MIRAGE_TRY_ASSIGN(rope.extrapolation, reader.KeyOr<float>("rope.scaling.yarn_ext_factor", 1.0f));
  MIRAGE_TRY_ASSIGN(const float older, reader.KeyOr<float>("rope.scaling.yarn_attn_factor", 1.0f));
  MIRAGE_TRY_ASSIGN(const float attention, reader.KeyOr<float>("rope.scaling.attn_factor", older));
  // Section 3.4 of the paper: the temperature of attention grows with the stretch.
  rope.magnitude = attention * (1.0f + 0.1f * std::log(rope.factor));
  if (!(rope.original_context >= 1))
    return reader.AboutKey(Code::kCorrupt, "rope.scaling.original_context_length",
                           "is " + std::to_string(rope.original_context) + ", below 1");
  return {};
}

Status ReadLongRope(Reader& reader, RopeConfig& rope) {
  rope.scaling = RopeScaling::kFactors;
  MIRAGE_TRY_ASSIGN(const int64_t original,
                    reader.Key<int64_t>("rope.scaling.original_context_length"));
  MIRAGE_TRY_ASSIGN(rope.magnitude, reader.KeyOr<float>("rope.scaling.attn_factor", 1.0f));
  MIRAGE_TRY_ASSIGN(const auto longer,
                    ReadFactors(reader, "rope_factors_long.weight", rope.rotary / 2));
  MIRAGE_TRY_ASSIGN(const auto shorter,
                    ReadFactors(reader, "rope_factors_short.weight", rope.rotary / 2));
  rope.factors = reader.session_context() > original ? longer : shorter;
  return {};
}

}  // namespace

std::string LayerTensor(int32_t layer, std::string_view name) {
  return "blk." + std::to_string(layer) + "." + std::string(name);
}

Status ReadSizes(Reader& reader, Config& config) {
  config.architecture = reader.architecture();
  MIRAGE_TRY_ASSIGN(const uint64_t layers, reader.Key<uint64_t>("block_count"));
  if (layers == 0 || layers > kMostLayers)
    return reader.AboutKey(
        Code::kCorrupt, "block_count",
        "is " + std::to_string(layers) + ", outside 1.." + std::to_string(kMostLayers));
  MIRAGE_TRY_ASSIGN(const uint64_t embedding, reader.Key<uint64_t>("embedding_length"));
  MIRAGE_TRY_ASSIGN(config.embedding, Size(reader, "embedding_length", embedding));
  MIRAGE_TRY_ASSIGN(config.context, reader.Key<int64_t>("context_length"));
  MIRAGE_TRY_ASSIGN(config.norm_epsilon, reader.Key<float>("attention.layer_norm_rms_epsilon"));

  MIRAGE_TRY_ASSIGN(config.vocabulary, ReadVocabularySize(reader));

  MIRAGE_TRY_ASSIGN(const auto heads, reader.PerLayer<uint32_t>("attention.head_count", layers));
  const bool grouped = reader.Has("attention.head_count_kv");
  MIRAGE_TRY_ASSIGN(const auto kv_heads,
                    reader.PerLayer<uint32_t>(
                        grouped ? "attention.head_count_kv" : "attention.head_count", layers));
  MIRAGE_TRY_ASSIGN(const auto ffn, reader.PerLayer<uint32_t>("feed_forward_length", layers));
  config.layers.resize(layers);
  for (size_t i = 0; i < layers; ++i) {
    LayerConfig& layer = config.layers[i];
    MIRAGE_TRY_ASSIGN(layer.heads, Size(reader, "attention.head_count", heads[i], i));
    MIRAGE_TRY_ASSIGN(layer.kv_heads, Size(reader, "attention.head_count_kv", kv_heads[i], i));
    MIRAGE_TRY_ASSIGN(layer.ffn, Size(reader, "feed_forward_length", ffn[i], i));
    MIRAGE_TRY_ASSIGN(layer.head_dim, HeadLength(reader, embedding, heads[i], i));
  }
  config.attention_scale = 1.0f / std::sqrt(static_cast<float>(config.layers[0].head_dim));
  return {};
}

Result<RopeConfig> ReadRope(Reader& reader, const Config& config, kernels::RopePairs pairs) {
  RopeConfig rope;
  rope.pairs = pairs;
  MIRAGE_TRY_ASSIGN(rope.base, reader.KeyOr<float>("rope.freq_base", 10000.0f));
  MIRAGE_TRY_ASSIGN(const uint64_t rotary,
                    reader.KeyOr<uint64_t>("rope.dimension_count",
                                           static_cast<uint64_t>(config.layers[0].head_dim)));
  if (rotary > static_cast<uint64_t>(config.layers[0].head_dim))
    return reader.AboutKey(Code::kCorrupt, "rope.dimension_count",
                           "is " + std::to_string(rotary) + ", a head has " +
                               std::to_string(config.layers[0].head_dim));
  rope.rotary = static_cast<int32_t>(rotary);

  MIRAGE_TRY_ASSIGN(const std::string scaling, reader.KeyOr<std::string>("rope.scaling.type", ""));
  if (scaling.empty() || scaling == "linear")
    MIRAGE_TRY(ReadLinear(reader, rope));
  else if (scaling == "yarn")
    MIRAGE_TRY(ReadYarn(reader, rope));
  else if (scaling == "longrope")
    MIRAGE_TRY(ReadLongRope(reader, rope));
  else if (scaling != "none")
    return reader.AboutKey(Code::kUnsupported, "rope.scaling.type",
                           "is '" + Printable(scaling, 64) + "', which this build does not know");
  // Phi-3 files carry their factors without naming the scaling.
  if (scaling.empty() && reader.HasTensor("rope_factors_long.weight"))
    MIRAGE_TRY(ReadLongRope(reader, rope));

  if (reader.HasTensor("rope_freqs.weight")) {
    if (rope.scaling != RopeScaling::kNone && rope.scaling != RopeScaling::kLinear)
      return TensorError(Code::kUnsupported, "rope_freqs.weight",
                         "stands beside rope scaling '" + scaling + "'");
    MIRAGE_TRY_ASSIGN(rope.factors, ReadFactors(reader, "rope_freqs.weight", rope.rotary / 2));
    for (float& factor : rope.factors) factor *= rope.factor;
    rope.scaling = RopeScaling::kFactors;
  }
  return rope;
}

Status ReadClassifier(Reader& reader, Config& config) {
  constexpr std::string_view kName = "cls.output.weight";
  constexpr int64_t kMostClasses = 1024;
  constexpr int64_t kMostValues = int64_t{1} << 22;
  const format::TensorInfo* const tensor = reader.file().FindTensor(kName);
  if (tensor == nullptr) return {};
  const int64_t classes = tensor->shape.rows();
  if (classes < 2 || classes > kMostClasses || classes > kMostValues / config.embedding)
    return TensorError(Code::kUnsupported, kName,
                       "has " + std::to_string(classes) + " rows of " +
                           std::to_string(config.embedding) + " values, which are no classes");
  MIRAGE_TRY_ASSIGN(config.classifier.weight, reader.Values(kName, classes, config.embedding));
  if (!std::all_of(config.classifier.weight.begin(), config.classifier.weight.end(),
                   [](float weight) { return std::isfinite(weight); }))
    return TensorError(Code::kCorrupt, kName, "holds a weight that is not a finite number");
  config.classifier.classes = static_cast<int32_t>(classes);
  return {};
}

Status BindEnds(Reader& reader, const Config& config, TensorMap& map) {
  map.layers.resize(config.layers.size());
  MIRAGE_TRY_ASSIGN(map.embedding,
                    reader.Matrix("token_embd.weight", config.vocabulary, config.embedding));
  MIRAGE_TRY_ASSIGN(map.output_norm, reader.Vector("output_norm.weight", config.embedding));
  map.head = map.embedding;
  if (reader.HasTensor("output.weight")) {
    MIRAGE_TRY_ASSIGN(map.head,
                      reader.Matrix("output.weight", config.vocabulary, config.embedding));
  }
  return {};
}

Status BindAttention(Reader& reader, const Config& config, int32_t layer, TensorMap& map) {
  const LayerConfig& shape = config.layers[layer];
  LayerTensors& out = map.layers[layer];
  const int64_t width = config.embedding;
  const int64_t q_rows = int64_t{shape.heads} * shape.head_dim;
  const int64_t kv_rows = int64_t{shape.kv_heads} * shape.head_dim;
  const auto name = [layer](std::string_view tensor) { return LayerTensor(layer, tensor); };

  MIRAGE_TRY_ASSIGN(out[Vector::kAttentionNorm], reader.Vector(name("attn_norm.weight"), width));
  MIRAGE_TRY_ASSIGN(out[Matrix::kQ], reader.Matrix(name("attn_q.weight"), q_rows, width));
  MIRAGE_TRY_ASSIGN(out[Matrix::kK], reader.Matrix(name("attn_k.weight"), kv_rows, width));
  MIRAGE_TRY_ASSIGN(out[Matrix::kV], reader.Matrix(name("attn_v.weight"), kv_rows, width));
  MIRAGE_TRY_ASSIGN(out[Matrix::kO], reader.Matrix(name("attn_output.weight"), width, q_rows));
  MIRAGE_TRY_ASSIGN(out[Vector::kQBias], reader.Vector(name("attn_q.bias"), q_rows, true));
  MIRAGE_TRY_ASSIGN(out[Vector::kKBias], reader.Vector(name("attn_k.bias"), kv_rows, true));
  MIRAGE_TRY_ASSIGN(out[Vector::kVBias], reader.Vector(name("attn_v.bias"), kv_rows, true));
  MIRAGE_TRY_ASSIGN(out[Vector::kOBias], reader.Vector(name("attn_output.bias"), width, true));
  return {};
}

Status BindFeedForward(Reader& reader, const Config& config, int32_t layer, TensorMap& map) {
  LayerTensors& out = map.layers[layer];
  const int64_t width = config.embedding;
  const int64_t ffn = config.layers[layer].ffn;
  const auto name = [layer](std::string_view tensor) { return LayerTensor(layer, tensor); };

  MIRAGE_TRY_ASSIGN(out[Vector::kFfnNorm], reader.Vector(name("ffn_norm.weight"), width));
  MIRAGE_TRY_ASSIGN(out[Matrix::kGate], reader.Matrix(name("ffn_gate.weight"), ffn, width));
  MIRAGE_TRY_ASSIGN(out[Matrix::kUp], reader.Matrix(name("ffn_up.weight"), ffn, width));
  MIRAGE_TRY_ASSIGN(out[Matrix::kDown], reader.Matrix(name("ffn_down.weight"), width, ffn));
  MIRAGE_TRY_ASSIGN(out[Vector::kGateBias], reader.Vector(name("ffn_gate.bias"), ffn, true));
  MIRAGE_TRY_ASSIGN(out[Vector::kUpBias], reader.Vector(name("ffn_up.bias"), ffn, true));
  MIRAGE_TRY_ASSIGN(out[Vector::kDownBias], reader.Vector(name("ffn_down.bias"), width, true));
  return {};
}

Status ReadExperts(Reader& reader, Config& config) {
  MIRAGE_TRY_ASSIGN(const uint64_t count, reader.Key<uint64_t>("expert_count"));
  MIRAGE_TRY_ASSIGN(const uint64_t used, reader.Key<uint64_t>("expert_used_count"));
  MIRAGE_TRY_ASSIGN(const uint64_t width, reader.Key<uint64_t>("expert_feed_forward_length"));
  ExpertsConfig experts;
  MIRAGE_TRY_ASSIGN(experts.count, Size(reader, "expert_count", count));
  MIRAGE_TRY_ASSIGN(experts.used, Size(reader, "expert_used_count", used));
  MIRAGE_TRY_ASSIGN(experts.normalize, reader.KeyOr<bool>("expert_weights_norm", true));
  MIRAGE_TRY_ASSIGN(const int32_t ffn, Size(reader, "expert_feed_forward_length", width));
  for (LayerConfig& layer : config.layers) {
    layer.ffn = ffn;
    layer.experts = experts;
  }
  return {};
}

Status BindExperts(Reader& reader, const Config& config, int32_t layer, TensorMap& map) {
  const LayerConfig& shape = config.layers[layer];
  LayerTensors& out = map.layers[layer];
  const int64_t width = config.embedding;
  const int64_t count = shape.experts.count;
  const int64_t ffn = shape.ffn;
  const auto name = [layer](std::string_view tensor) { return LayerTensor(layer, tensor); };

  MIRAGE_TRY_ASSIGN(out[Vector::kFfnNorm], reader.Vector(name("ffn_norm.weight"), width));
  MIRAGE_TRY_ASSIGN(out.experts.router, reader.Matrix(name("ffn_gate_inp.weight"), count, width));
  MIRAGE_TRY_ASSIGN(out.experts.gate,
                    reader.ExpertMatrices(name("ffn_gate_exps.weight"), count, ffn, width));
  MIRAGE_TRY_ASSIGN(out.experts.up,
                    reader.ExpertMatrices(name("ffn_up_exps.weight"), count, ffn, width));
  MIRAGE_TRY_ASSIGN(out.experts.down,
                    reader.ExpertMatrices(name("ffn_down_exps.weight"), count, width, ffn));
  return {};
}

Status BindHeadNorms(Reader& reader, const Config& config, int32_t layer, TensorMap& map) {
  const int64_t head_dim = config.layers[layer].head_dim;
  MIRAGE_TRY_ASSIGN(map.layers[layer][Vector::kQNorm],
                    reader.Vector(LayerTensor(layer, "attn_q_norm.weight"), head_dim));
  MIRAGE_TRY_ASSIGN(map.layers[layer][Vector::kKNorm],
                    reader.Vector(LayerTensor(layer, "attn_k_norm.weight"), head_dim));
  return {};
}

Status BindPostNorms(Reader& reader, const Config& config, int32_t layer, TensorMap& map) {
  MIRAGE_TRY_ASSIGN(
      map.layers[layer][Vector::kPostAttentionNorm],
      reader.Vector(LayerTensor(layer, "post_attention_norm.weight"), config.embedding));
  MIRAGE_TRY_ASSIGN(map.layers[layer][Vector::kPostFfnNorm],
                    reader.Vector(LayerTensor(layer, "post_ffw_norm.weight"), config.embedding));
  return {};
}

}  // namespace mirage::model
