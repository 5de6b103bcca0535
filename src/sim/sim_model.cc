// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_model.h"

#include <utility>

namespace mirage::sim {
namespace {

// Weights that are only counted.
class NoSource final : public memory::RegionSource {
 public:
  Status Fill(memory::RegionIndex /*region*/, std::span<std::byte> /*dst*/) const override {
    return {};
  }
  const std::byte* Mapped(memory::RegionIndex /*region*/) const override { return nullptr; }
};

}  // namespace

Result<std::shared_ptr<SimModel>> SimModel::Load(SimHost& host, const ModelShape& shape,
                                                 const Options& options) {
  std::shared_ptr<SimModel> model(new SimModel(host, shape, options));
  MIRAGE_TRY(model->Start());
  return model;
}

Status SimModel::Start() {
  const auto bytes_of = [&](uint64_t weights) {
    return static_cast<uint64_t>(static_cast<double>(weights) * shape_.bytes_per_weight);
  };
  MIRAGE_TRY_ASSIGN(tables_, memory::Holding::Take(host_.ledger, memory::Owner::kTables,
                                                   bytes_of(shape_.embedding_weights),
                                                   shape_.name + "'s embedding"));
  std::vector<memory::RegionInfo> regions;
  const auto add = [&](int32_t layer, uint64_t weights, int32_t parts) {
    for (int32_t part = 0; part < parts; ++part)
      regions.push_back(
          {{options_.number, static_cast<uint32_t>(layer), static_cast<uint16_t>(part), 0, 0},
           bytes_of(weights) / static_cast<uint64_t>(parts)});
  };
  for (int32_t layer = 0; layer < shape_.layers; ++layer)
    add(layer, shape_.layer_weights, options_.regions_per_layer);
  add(shape_.layers, shape_.head_weights, options_.regions_per_layer);
  for (memory::RegionIndex i = 0; i < regions.size(); ++i) order_.push_back(i);
  const std::vector<bool> resident(regions.size(), true);
  MIRAGE_TRY_ASSIGN(store_, memory::RegionStore::Create(
                                host_.arena, host_.transfer, host_.clock, std::move(regions),
                                std::make_shared<NoSource>(), {.slots = options_.slots}));
  MIRAGE_TRY(store_->Load(resident, {}));
  if (options_.kv_bytes > 0) {
    MIRAGE_TRY_ASSIGN(promise_, memory::Promise::Make(host_.ledger, options_.kv_bytes,
                                                      shape_.name + "'s keys and values"));
  }
  const kv::LayerGroup all{
      kv::CacheKind::kFull, 0, shape_.kv_heads * shape_.layers, shape_.head_dim, {0}};
  MIRAGE_TRY_ASSIGN(pages_,
                    kv::PagePool::Create(host_.arena, {all}, host_.ledger.limit(), promise_.get()));
  prefixes_ = std::make_unique<kv::PrefixCache>(*pages_);
  lender_ = std::make_unique<memory::WeightLender>(*store_, host_.ledger, host_.transfer);
  MIRAGE_TRY_ASSIGN(stream_, host_.device.CreateStream());
  return {};
}

SimModel::Work SimModel::WorkOf(std::span<const engine::Slice> slices) const {
  Work work;
  const double ops = 4.0 * shape_.layers * shape_.query_heads * shape_.head_dim;
  for (const engine::Slice& slice : slices) {
    const auto tokens = static_cast<int64_t>(slice.tokens.size());
    const auto before = static_cast<double>(slice.cache->length());
    const auto count = static_cast<double>(tokens);
    work.tokens += tokens;
    work.logits |= slice.logit_rows > 0;
    work.attention_ops += ops * count * (before + (count + 1) / 2);
    work.kv_bytes += static_cast<double>(shape_.KvBytesPerToken()) * (before + count);
  }
  return work;
}

Status SimModel::Forward(std::span<const engine::Slice> slices,
                         const std::function<bool()>& cancelled) {
  auto& stream = static_cast<platform::SimStream&>(*stream_);
  const platform::SimCosts& costs = stream.costs();
  const Work work = WorkOf(slices);
  const auto tokens = static_cast<double>(work.tokens);
  const double parts = options_.regions_per_layer;
  const double layer_parts = parts * shape_.layers;
  const double ops =
      2 * shape_.LayerWeightsUsed() * tokens / parts + work.attention_ops / layer_parts;
  const double bytes = shape_.LayerWeightsRead(work.tokens) * shape_.bytes_per_weight / parts +
                       work.kv_bytes / layer_parts;
  const int64_t layer_ns = costs.WorkNs(ops, bytes);
  int64_t rows = 0;
  for (const engine::Slice& slice : slices) rows += slice.logit_rows;
  const double head = static_cast<double>(shape_.head_weights) / parts;
  const int64_t head_ns =
      costs.WorkNs(2 * head * static_cast<double>(rows), head * shape_.bytes_per_weight);

  const auto first_head = static_cast<memory::RegionIndex>(layer_parts);
  const size_t last = work.logits ? order_.size() : first_head;
  store_->Announce(std::span(order_).first(last));
  stream.Run(host_.hardware.pass_ns, nullptr);
  for (memory::RegionIndex region = 0; region < last; ++region) {
    if (region % 64 == 0 && cancelled())
      return Fail(Code::kCancelled, "nobody wants the pass any more");
    MIRAGE_TRY_ASSIGN(const memory::Lease lease, store_->Acquire(region, stream));
    stream.Run(region < first_head ? layer_ns : head_ns, nullptr);
  }
  return stream.Synchronize();
}

std::span<float> SimModel::Logits(int32_t /*index*/) {
  logits_ = {1.0f, 0.0f};
  return logits_;
}

std::span<const float> SimModel::Hidden(int32_t /*index*/) { return {}; }

}  // namespace mirage::sim
