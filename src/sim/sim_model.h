// SPDX-License-Identifier: Apache-2.0
#pragma once

// SimModel: a model of a shape as the engine runs it, whose passes take time on a simulated machine
// and compute nothing.
//
// Regions, leases, staging slots, transfers, pages, prefixes and lending are the real ones: only
// the device, the link and the numbers that would come out are not. Its vocabulary has two tokens,
// and it always says 0; callers make prompts that differ within 32 tokens.
//
// The layers' keys and values are pages of one layer as wide as all of them: decisions go by bytes.

#include <memory>
#include <span>
#include <vector>

#include "engine/model_runner.h"
#include "memory/region_store.h"
#include "memory/weight_lender.h"
#include "sim/model_shape.h"
#include "sim/sim_host.h"

namespace mirage::sim {

class SimModel final : public engine::ModelRunner {
 public:
  struct Options {
    uint32_t number = 0;  // of the model on its host
    int32_t regions_per_layer = 4;
    int slots = 2;
    uint64_t kv_bytes = 0;  // kept for this model's pages alone; 0: whoever comes first has them
    int64_t step_tokens = 8192;
    int32_t logit_rows = 1024;
  };
  static constexpr int32_t kVocabulary = 2;

  // All weights are taken from the ledger; kOutOfMemory when they do not fit.
  [[nodiscard]] static Result<std::shared_ptr<SimModel>> Load(SimHost& host,
                                                              const ModelShape& shape,
                                                              const Options& options);

  int32_t vocabulary() const override { return kVocabulary; }
  int64_t max_context() const override { return shape_.context; }
  int64_t max_step_tokens() const override { return options_.step_tokens; }
  int32_t max_logit_rows() const override { return options_.logit_rows; }
  int32_t hidden_width() const override { return shape_.width; }
  kv::PagePool& pages() override { return *pages_; }
  kv::PrefixCache& prefixes() override { return *prefixes_; }
  Status Forward(std::span<const engine::Slice> slices,
                 const std::function<bool()>& cancelled) override;
  std::span<float> Logits(int32_t index) override;
  std::span<const float> Hidden(int32_t index) override;

  uint64_t lendable_bytes() const override { return lender_->lendable_bytes(); }
  uint64_t lent_bytes() const override { return lender_->lent_bytes(); }
  uint64_t LendWeights(uint64_t bytes) override { return lender_->Lend(bytes); }
  bool ReviveWeights(uint64_t spare) override { return lender_->Revive(spare); }
  double UnhiddenNs(uint64_t lent, double pass_ns) const override {
    return lender_->UnhiddenNs(lent, pass_ns);
  }
  int64_t waited_ns() const override { return lender_->waited_ns(); }

  [[nodiscard]] memory::StoreStats StoreStats() const { return store_->Stats(); }

 private:
  // Of a pass, over all layers.
  struct Work {
    int64_t tokens = 0;
    bool logits = false;
    double attention_ops = 0;
    double kv_bytes = 0;
  };
  SimModel(SimHost& host, const ModelShape& shape, const Options& options)
      : host_(host), shape_(shape), options_(options), logits_(kVocabulary) {}
  [[nodiscard]] Status Start();
  [[nodiscard]] Work WorkOf(std::span<const engine::Slice> slices) const;

  SimHost& host_;
  const ModelShape shape_;
  const Options options_;
  std::unique_ptr<memory::Promise> promise_;
  memory::Holding tables_;
  std::unique_ptr<memory::RegionStore> store_;
  std::unique_ptr<kv::PagePool> pages_;
  std::unique_ptr<kv::PrefixCache> prefixes_;
  std::unique_ptr<memory::WeightLender> lender_;
  std::unique_ptr<platform::Stream> stream_;
  std::vector<memory::RegionIndex> order_;
  std::vector<float> logits_;  // of any row
};

}  // namespace mirage::sim
