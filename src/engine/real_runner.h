// SPDX-License-Identifier: Apache-2.0
#pragma once

// RealRunner: a loaded model as the engine runs it.

#include <memory>
#include <utility>

#include "engine/model_runner.h"
#include "model/model.h"

namespace mirage::engine {

class RealRunner final : public ModelRunner {
 public:
  explicit RealRunner(std::unique_ptr<model::Model> model)
      : model_(std::move(model)), prefixes_(model_->pages()), lender_(model_->MakeLender()) {}

  [[nodiscard]] int32_t vocabulary() const override { return model_->config().vocabulary; }
  [[nodiscard]] int64_t max_context() const override { return model_->plan().context; }
  [[nodiscard]] int64_t max_step_tokens() const override { return model_->plan().step_tokens; }
  [[nodiscard]] int32_t max_logit_rows() const override { return model_->plan().logit_rows; }
  [[nodiscard]] int32_t hidden_width() const override { return model_->config().embedding; }
  [[nodiscard]] kv::PagePool& pages() override { return model_->pages(); }
  [[nodiscard]] kv::PrefixCache& prefixes() override { return prefixes_; }
  [[nodiscard]] Status Forward(std::span<const Slice> slices,
                               const std::function<bool()>& cancelled) override {
    return model_->Forward(slices, cancelled);
  }
  [[nodiscard]] std::span<float> Logits(int32_t index) override { return model_->Logits(index); }
  [[nodiscard]] std::span<const float> Hidden(int32_t index) override {
    return model_->Hidden(index);
  }
  [[nodiscard]] uint64_t lendable_bytes() const override { return lender_.lendable_bytes(); }
  [[nodiscard]] uint64_t lent_bytes() const override { return lender_.lent_bytes(); }
  [[nodiscard]] uint64_t LendWeights(uint64_t bytes) override { return lender_.Lend(bytes); }
  [[nodiscard]] bool ReviveWeights(uint64_t spare) override { return lender_.Revive(spare); }
  [[nodiscard]] bool LeaveMapping(uint64_t bytes) override { return lender_.LeaveMapping(bytes); }
  [[nodiscard]] double UnhiddenNs(uint64_t lent, double pass_ns) const override {
    return lender_.UnhiddenNs(lent, pass_ns);
  }
  [[nodiscard]] int64_t waited_ns() const override { return lender_.waited_ns(); }
  [[nodiscard]] Error Locate(Error error) const override {
    return model_->file().Locate(std::move(error));
  }

  [[nodiscard]] model::Model& model() { return *model_; }

 private:
  std::unique_ptr<model::Model> model_;
  kv::PrefixCache prefixes_;
  memory::WeightLender lender_;
};

}  // namespace mirage::engine
