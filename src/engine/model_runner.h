// SPDX-License-Identifier: Apache-2.0
#pragma once

// ModelRunner: what the engine needs of a model: pages for its sequences and one pass over a batch.
//
// The engine's tests and the simulator give it a FakeModel; the product a model::Model on a device.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "kv/page_pool.h"
#include "kv/sequence_cache.h"

namespace mirage::engine {

// One sequence's part of a step: tokens at positions [first_position, first_position + tokens.size()).
struct SequenceSlice {
  kv::SequenceCache* cache = nullptr;  // pages for all of the positions are reserved
  std::span<const int32_t> tokens;
  int64_t first_position = 0;
  bool wants_logits = false;  // of the slice's last token
};

class ModelRunner {
 public:
  virtual ~ModelRunner() = default;

  [[nodiscard]] virtual const std::string& name() const = 0;
  [[nodiscard]] virtual int32_t vocabulary() const = 0;
  // The most tokens a sequence may hold: the model's own bound or what was planned.
  [[nodiscard]] virtual int64_t max_context() const = 0;
  [[nodiscard]] virtual kv::PagePool& pages() = 0;

  // One pass over the weights for all slices. logits [number of slices that want them, vocabulary], in slice order.
  // `cancelled` is polled between layers; true ends the pass with kCancelled. Whatever fails, the caches' committed
  // lengths are unchanged: the engine commits.
  [[nodiscard]] virtual Status Forward(std::span<const SequenceSlice> slices, float* logits,
                                       const std::function<bool()>& cancelled) = 0;
};

}  // namespace mirage::engine
