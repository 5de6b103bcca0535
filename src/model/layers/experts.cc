// SPDX-License-Identifier: Apache-2.0
#include "model/layers/experts.h"

#include <algorithm>
#include <vector>

namespace mirage::model {

namespace {

void AppendRegions(const MatrixGroup& group, std::vector<memory::RegionIndex>* order) {
  for (uint32_t i = 0; i < group.region_count; ++i) order->push_back(group.first_region + i);
}

// Runs of experts that have no more than `most` pairs together, or are one expert.
std::vector<std::span<const ExpertRows>> Batches(std::span<const ExpertRows> experts,
                                                 int32_t most) {
  std::vector<std::span<const ExpertRows>> batches;
  while (!experts.empty()) {
    size_t count = 0;
    int32_t pairs = 0;
    do pairs += experts[count++].count;
    while (count < experts.size() && pairs + experts[count].count <= most);
    batches.push_back(experts.first(count));
    experts = experts.subspan(count);
  }
  return batches;
}

// The rows from `row` on.
kernels::Activations From(const kernels::Activations& x, int64_t row, int64_t cols) {
  return {x.f32 == nullptr ? nullptr : x.f32 + row * cols,
          x.q8 == nullptr ? nullptr : x.q8 + row * (cols / kernels::kBlock)};
}

}  // namespace

// The workspace's buffers under their names.
struct Experts::Buffers {
  Buffers(const WorkspaceLayout& layout, std::byte* base)
      : hidden(BufferAt<float>(base, layout.hidden)),
        normed(BufferAt<float>(base, layout.normed)),
        quantized(BufferAt<kernels::ActBlock>(base, layout.quantized)),
        logits(BufferAt<float>(base, layout.router_logits)),
        chosen(BufferAt<int32_t>(base, layout.chosen)),
        weights(BufferAt<float>(base, layout.chosen_weights)),
        pair_rows(BufferAt<int32_t>(base, layout.pair_rows)),
        pair_weights(BufferAt<float>(base, layout.pair_weights)),
        x(BufferAt<float>(base, layout.expert_x)),
        x_blocks(BufferAt<kernels::ActBlock>(base, layout.expert_x_blocks)),
        gate(BufferAt<float>(base, layout.gate)),
        up(BufferAt<float>(base, layout.up)),
        h_blocks(BufferAt<kernels::ActBlock>(base, layout.expert_h_blocks)),
        y(BufferAt<float>(base, layout.expert_y)),
        projected(BufferAt<float>(base, layout.projected)) {}

  float* hidden;
  float* normed;
  kernels::ActBlock* quantized;
  float* logits;
  int32_t* chosen;
  float* weights;
  int32_t* pair_rows;
  float* pair_weights;
  float* x;
  kernels::ActBlock* x_blocks;
  float* gate;
  float* up;
  kernels::ActBlock* h_blocks;
  float* y;
  float* projected;
};

Status Experts::Run(const Backend& backend, int32_t layer, const float* norm, int32_t tokens,
                    std::byte* base) const {
  const ExpertsConfig& shape = config_.layers[layer].experts;
  const Buffers buffers(workspace_, base);
  kernels::Activations normed{};
  MIRAGE_TRY(Route(backend, layer, norm, tokens, buffers, &normed));
  MIRAGE_TRY(backend.stream.Synchronize());
  const auto choices = static_cast<size_t>(tokens) * static_cast<size_t>(shape.used);
  const std::vector<ExpertRows> experts =
      SortByExpert({buffers.chosen, choices}, {buffers.weights, choices}, shape.used, shape.count,
                   buffers.pair_rows, buffers.pair_weights);
  std::fill_n(buffers.projected, int64_t{tokens} * config_.embedding, 0.0f);

  const auto batches = Batches(experts, workspace_.pairs);
  std::vector<memory::RegionIndex> order;
  for (const std::span<const ExpertRows> batch : batches) {
    for (const ExpertRows& rows : batch)
      AppendRegions(layout_.layers[layer].experts[rows.expert].gate_up, &order);
    for (const ExpertRows& rows : batch)
      AppendRegions(layout_.layers[layer].experts[rows.expert].down, &order);
  }
  backend.store.AnnounceFirst(order);
  for (const std::span<const ExpertRows> batch : batches)
    MIRAGE_TRY(AddOutputs(backend, layer, batch, normed, buffers));
  return {};
}

Status Experts::Route(const Backend& backend, int32_t layer, const float* norm, int32_t tokens,
                      const Buffers& buffers, kernels::Activations* normed) const {
  const LayerPlaces& places = layout_.layers[layer];
  const ExpertsConfig& shape = config_.layers[layer].experts;
  const MatrixGroup& first = places.experts.front().gate_up;
  const int32_t width = config_.embedding;
  kernels::RmsNormArgs args{
      buffers.hidden, norm, nullptr, nullptr, tokens, width, width, width, config_.norm_epsilon};
  if (places.router.ReadsFloats() || first.ReadsFloats()) args.y = buffers.normed;
  if (places.router.ReadsQuantized() || first.ReadsQuantized()) args.q = buffers.quantized;
  MIRAGE_TRY(backend.ops.rms_norm(backend.stream, args));
  const LinearOutput router[] = {{buffers.logits, shape.count, nullptr}};
  MIRAGE_TRY(Linear(backend, places.router, layout_, {args.y, args.q}, tokens, router));
  // What the experts read is gathered.
  normed->f32 = first.ReadsFloats() ? args.y : nullptr;
  normed->q8 = first.ReadsQuantized() ? args.q : nullptr;
  return backend.ops.route(backend.stream, {buffers.logits, buffers.chosen, buffers.weights, tokens,
                                            shape.count, shape.used, shape.normalize});
}

Status Experts::AddOutputs(const Backend& backend, int32_t layer,
                           std::span<const ExpertRows> experts, const kernels::Activations& normed,
                           const Buffers& buffers) const {
  const std::vector<ExpertPlaces>& places = layout_.layers[layer].experts;
  const int32_t width = config_.embedding;
  const int32_t ffn = config_.layers[layer].ffn;
  const int32_t first = experts.front().first;
  const int32_t pairs = experts.back().first + experts.back().count - first;
  const int32_t* rows = buffers.pair_rows + first;
  MIRAGE_TRY(backend.ops.gather_rows(backend.stream,
                                     {normed, rows, pairs, width, buffers.x, buffers.x_blocks}));

  std::vector<Product> products;
  products.reserve(experts.size());
  const kernels::Activations x{normed.f32 == nullptr ? nullptr : buffers.x,
                               normed.q8 == nullptr ? nullptr : buffers.x_blocks};
  for (const ExpertRows& of : experts) {
    const int64_t row = of.first - first;
    products.push_back(
        {&places[of.expert].gate_up,
         From(x, row, width),
         of.count,
         {{{buffers.gate + row * ffn, ffn, nullptr}, {buffers.up + row * ffn, ffn, nullptr}}}});
  }
  MIRAGE_TRY(LinearEach(backend, layout_, products));

  const MatrixGroup& down = places.front().down;
  kernels::GatedArgs gated{buffers.gate, buffers.up, nullptr, nullptr,
                           pairs,        ffn,        ffn,     config_.activation};
  if (down.ReadsFloats()) gated.y = buffers.gate;
  if (down.ReadsQuantized()) gated.q = buffers.h_blocks;
  MIRAGE_TRY(backend.ops.gated(backend.stream, gated));

  products.clear();
  for (const ExpertRows& of : experts) {
    const int64_t row = of.first - first;
    products.push_back({&places[of.expert].down,
                        From({gated.y, gated.q}, row, ffn),
                        of.count,
                        {{{buffers.y + row * width, width, nullptr}}}});
  }
  MIRAGE_TRY(LinearEach(backend, layout_, products));
  return backend.ops.add_rows(backend.stream, {buffers.y, rows, buffers.pair_weights + first, pairs,
                                               width, buffers.projected});
}

}  // namespace mirage::model
