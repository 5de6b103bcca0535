// SPDX-License-Identifier: Apache-2.0
#include "model/layers/decoder.h"

namespace mirage::model {

// The workspace's buffers under their names.
struct Decoder::Buffers {
  Buffers(const WorkspaceLayout& layout, std::byte* base)
      : hidden(BufferAt<float>(base, layout.hidden)),
        normed(BufferAt<float>(base, layout.normed)),
        quantized(BufferAt<kernels::ActBlock>(base, layout.quantized)),
        q(BufferAt<float>(base, layout.q)),
        k(BufferAt<float>(base, layout.k)),
        v(BufferAt<float>(base, layout.v)),
        attended(BufferAt<float>(base, layout.attended)),
        scratch(BufferAt<float>(base, layout.scratch)),
        gate(BufferAt<float>(base, layout.gate)),
        up(BufferAt<float>(base, layout.up)),
        projected(BufferAt<float>(base, layout.projected)) {}

  float* hidden;
  float* normed;
  kernels::ActBlock* quantized;
  float* q;
  float* k;
  float* v;
  float* attended;
  float* scratch;
  float* gate;
  float* up;
  float* projected;
};

// A layer's vectors; nullptr for those it does not have.
struct Decoder::Vectors {
  const LayerPlaces& places;
  const std::byte* region;
  [[nodiscard]] const float* operator[](Vector v) const {
    const uint64_t offset = places.vectors[static_cast<size_t>(v)];
    return offset == kAbsent ? nullptr : reinterpret_cast<const float*>(region + offset);
  }
};

Decoder::Decoder(const Config& config, const ModelLayout& layout, const WorkspaceLayout& workspace,
                 kv::PagePool& pages)
    : config_(config),
      layout_(layout),
      workspace_(workspace),
      pages_(pages),
      experts_(config, layout, workspace),
      group_of_layer_(config.layers.size()) {
  const kv::Geometry& groups = pages.geometry();
  for (size_t group = 0; group < groups.size(); ++group)
    for (const int32_t layer : groups[group].layers)
      group_of_layer_[layer] = static_cast<int32_t>(group);
}

Status Decoder::RunLayer(const Backend& backend, int32_t layer, const Step& step) const {
  const LayerPlaces& places = layout_.layers[layer];
  const Buffers buffers(workspace_, step.workspace);
  MIRAGE_TRY_ASSIGN(const memory::Lease lease,
                    backend.store.Acquire(places.vectors_region, backend.stream));
  const Vectors vectors{places, lease.data()};

  MIRAGE_TRY(Attention(backend, layer, vectors, buffers, step));
  MIRAGE_TRY(AddResidual(backend, vectors[Vector::kPostAttentionNorm], buffers, step));
  if (config_.layers[layer].experts.count > 0)
    MIRAGE_TRY(
        experts_.Run(backend, layer, vectors[Vector::kFfnNorm], step.tokens, step.workspace));
  else
    MIRAGE_TRY(FeedForward(backend, layer, vectors, buffers, step));
  return AddResidual(backend, vectors[Vector::kPostFfnNorm], buffers, step);
}

Status Decoder::Attention(const Backend& backend, int32_t layer, const Vectors& vectors,
                          const Buffers& buffers, const Step& step) const {
  const LayerConfig& shape = config_.layers[layer];
  const LayerPlaces& places = layout_.layers[layer];
  const kernels::Ops& ops = backend.ops;
  const int32_t tokens = step.tokens;
  const int64_t q_width = int64_t{shape.heads} * shape.head_dim;
  const int64_t kv_width = int64_t{shape.kv_heads} * shape.head_dim;

  kernels::Activations x{};
  MIRAGE_TRY(NormInto(backend, places.qkv, !step.adapted.empty(), buffers.hidden,
                      vectors[Vector::kAttentionNorm], tokens, config_.embedding,
                      config_.norm_epsilon, buffers.normed, buffers.quantized, &x));
  const LinearOutput qkv[] = {{buffers.q, q_width, vectors[Vector::kQBias]},
                              {buffers.k, kv_width, vectors[Vector::kKBias]},
                              {buffers.v, kv_width, vectors[Vector::kVBias]}};
  MIRAGE_TRY(Project(backend, Projection::kQkv, layer, places.qkv, x, step, qkv));

  const auto norm_heads = [&](float* values, int32_t heads, const float* weight) -> Status {
    if (weight == nullptr) return {};
    return ops.rms_norm(backend.stream,
                        {values, weight, values, nullptr, tokens * heads, shape.head_dim,
                         shape.head_dim, shape.head_dim, config_.norm_epsilon});
  };
  MIRAGE_TRY(norm_heads(buffers.q, shape.heads, vectors[Vector::kQNorm]));
  MIRAGE_TRY(norm_heads(buffers.k, shape.kv_heads, vectors[Vector::kKNorm]));

  const RopeConfig& rope = config_.ropes[shape.rope];
  if (rope.rotary > 0) {
    const float* cos = step.rope_cos[shape.rope];
    const float* sin = step.rope_sin[shape.rope];
    MIRAGE_TRY(ops.rope(backend.stream, {buffers.q, cos, sin, tokens, shape.heads, shape.head_dim,
                                         rope.rotary, q_width, rope.pairs}));
    MIRAGE_TRY(ops.rope(backend.stream, {buffers.k, cos, sin, tokens, shape.kv_heads,
                                         shape.head_dim, rope.rotary, kv_width, rope.pairs}));
  }

  const std::vector<kernels::SequenceView>& views = step.views[group_of_layer_[layer]];
  const auto sequences = static_cast<int32_t>(views.size());
  const kernels::KvLayer cache = pages_.layer(layer);
  MIRAGE_TRY(ops.kv_write(
      backend.stream, {buffers.k, buffers.v, kv_width, kv_width, cache, views.data(), sequences}));
  kernels::AttentionArgs attention{};
  attention.q = buffers.q;
  attention.q_stride = q_width;
  attention.y = buffers.attended;
  attention.layer = cache;
  attention.sequences = views.data();
  attention.sequence_count = sequences;
  attention.heads = shape.heads;
  attention.window = shape.window;
  attention.scale = config_.attention_scale;
  attention.softcap = config_.attention_softcap;
  if (tokens <= kScratchRows) {
    attention.scratch = buffers.scratch;
    attention.scratch_floats = workspace_.scratch_floats;
  }
  MIRAGE_TRY(backend.CheckWanted());
  MIRAGE_TRY(ops.attention(backend.stream, attention));

  x = {buffers.attended, nullptr};
  if (places.o.ReadsQuantized()) {
    MIRAGE_TRY(ops.quantize(backend.stream, {buffers.attended, buffers.quantized, tokens,
                                             static_cast<int32_t>(q_width)}));
    x.q8 = buffers.quantized;
  }
  const LinearOutput o[] = {{buffers.projected, config_.embedding, vectors[Vector::kOBias]}};
  return Project(backend, Projection::kO, layer, places.o, x, step, o);
}

Status Decoder::FeedForward(const Backend& backend, int32_t layer, const Vectors& vectors,
                            const Buffers& buffers, const Step& step) const {
  const LayerConfig& shape = config_.layers[layer];
  const LayerPlaces& places = layout_.layers[layer];
  kernels::Activations x{};
  MIRAGE_TRY(NormInto(backend, places.gate_up, !step.adapted.empty(), buffers.hidden,
                      vectors[Vector::kFfnNorm], step.tokens, config_.embedding,
                      config_.norm_epsilon, buffers.normed, buffers.quantized, &x));
  const LinearOutput gate_up[] = {{buffers.gate, shape.ffn, vectors[Vector::kGateBias]},
                                  {buffers.up, shape.ffn, vectors[Vector::kUpBias]}};
  MIRAGE_TRY(Project(backend, Projection::kGateUp, layer, places.gate_up, x, step, gate_up));

  kernels::GatedArgs gated{buffers.gate, buffers.up, nullptr,   nullptr,
                           step.tokens,  shape.ffn,  shape.ffn, config_.activation};
  if (places.down.ReadsFloats() || !step.adapted.empty()) gated.y = buffers.gate;
  if (places.down.ReadsQuantized()) gated.q = buffers.quantized;
  MIRAGE_TRY(backend.ops.gated(backend.stream, gated));

  const LinearOutput down[] = {{buffers.projected, config_.embedding, vectors[Vector::kDownBias]}};
  return Project(backend, Projection::kDown, layer, places.down, {gated.y, gated.q}, step, down);
}

Status Decoder::Project(const Backend& backend, Projection projection, int32_t layer,
                        const MatrixGroup& group, const kernels::Activations& x, const Step& step,
                        std::span<const LinearOutput> outputs) const {
  MIRAGE_TRY(Linear(backend, group, layout_, x, step.tokens, outputs));
  return AddLowRank(backend, step.adapted, projection, layer, group, x.f32, outputs);
}

Status Decoder::AddResidual(const Backend& backend, const float* norm, const Buffers& buffers,
                            const Step& step) const {
  const int32_t width = config_.embedding;
  if (norm != nullptr)
    MIRAGE_TRY(backend.ops.rms_norm(
        backend.stream, {buffers.projected, norm, buffers.projected, nullptr, step.tokens, width,
                         width, width, config_.norm_epsilon}));
  return backend.ops.add(backend.stream,
                         {buffers.projected, buffers.hidden, int64_t{step.tokens} * width});
}

Status NormInto(const Backend& backend, const MatrixGroup& next, bool adapted, const float* x,
                const float* weight, int32_t rows, int32_t cols, float epsilon, float* floats,
                kernels::ActBlock* blocks, kernels::Activations* out) {
  out->f32 = next.ReadsFloats() || adapted ? floats : nullptr;
  out->q8 = next.ReadsQuantized() ? blocks : nullptr;
  return backend.ops.rms_norm(
      backend.stream, {x, weight, next.ReadsFloats() || adapted ? floats : nullptr,
                       next.ReadsQuantized() ? blocks : nullptr, rows, cols, cols, cols, epsilon});
}

}  // namespace mirage::model
