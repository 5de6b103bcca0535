// SPDX-License-Identifier: Apache-2.0
#pragma once

// ModelRunner: what the engine needs of a model: pages for its sequences and one pass over a batch.
//
// The engine's tests and the simulator give it a FakeModel; the product a model::Model
// (engine/real_runner.h). Passes are made by the engine thread alone; the rest is constant.

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "engine/step_cost.h"
#include "kv/page_pool.h"
#include "kv/prefix_cache.h"
#include "model/model.h"

namespace mirage::engine {

using model::HiddenRows;
using model::Scores;
using model::Slice;

class ModelRunner {
 public:
  virtual ~ModelRunner() = default;

  StepCost step_cost;  // the engine thread's notes

  [[nodiscard]] virtual int32_t vocabulary() const = 0;
  // The most tokens a sequence may hold.
  [[nodiscard]] virtual int64_t max_context() const = 0;
  // The most tokens, and the most rows of logits, of one pass.
  [[nodiscard]] virtual int64_t max_step_tokens() const = 0;
  [[nodiscard]] virtual int32_t max_logit_rows() const = 0;
  // Values of a hidden state.
  [[nodiscard]] virtual int32_t hidden_width() const = 0;
  [[nodiscard]] virtual kv::PagePool& pages() = 0;
  // What its sequences share of each other's pages.
  [[nodiscard]] virtual kv::PrefixCache& prefixes() = 0;

  // One pass over the weights for all slices, whose pages are reserved; it writes their scores.
  // `cancelled` is polled
  // between layers or more often; true ends the pass with kCancelled. Whatever happens, the caches'
  // committed lengths are unchanged: the engine commits.
  [[nodiscard]] virtual Status Forward(std::span<const Slice> slices,
                                       const std::function<bool()>& cancelled) = 0;
  // [vocabulary] of the index-th row of logits that was wanted, writable, valid until the next
  // pass.
  [[nodiscard]] virtual std::span<float> Logits(int32_t index) = 0;
  // [hidden_width] of the index-th hidden state that was wanted, as the logits.
  [[nodiscard]] virtual std::span<const float> Hidden(int32_t index) = 0;

  // Weights lent to keys and values, between passes (memory/weight_lender.h). A model that cannot
  // has none.
  [[nodiscard]] virtual uint64_t lendable_bytes() const { return 0; }
  [[nodiscard]] virtual uint64_t lent_bytes() const { return 0; }
  [[nodiscard]] virtual uint64_t LendWeights(uint64_t /*bytes*/) { return 0; }
  [[nodiscard]] virtual bool ReviveWeights(uint64_t /*spare*/) { return false; }
  [[nodiscard]] virtual double UnhiddenNs(uint64_t /*lent*/, double /*pass_ns*/) const { return 0; }
  [[nodiscard]] virtual int64_t waited_ns() const { return 0; }
  [[nodiscard]] virtual bool LeaveMapping(uint64_t /*bytes*/) { return false; }

  // An error about the model with its file's name (format::ModelFile::Locate).
  [[nodiscard]] virtual Error Locate(Error error) const { return error; }
};

}  // namespace mirage::engine
