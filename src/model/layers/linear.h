// SPDX-License-Identifier: Apache-2.0
#pragma once

// Linear: matrices that share an input, multiplied region by region as the regions are at hand.

#include <array>
#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"
#include "kernels/ops.h"
#include "memory/region_store.h"
#include "model/region_layout.h"

namespace mirage::model {

// Where weights, kernels and the order of their work come from.
struct Backend {
  const kernels::Ops& ops;
  platform::Stream& stream;
  memory::RegionStore& store;
  const std::function<bool()>* cancelled = nullptr;

  // kCancelled when nobody wants the pass any more. Asked before every stretch of work that may
  // take longer than a caller should wait.
  [[nodiscard]] Status CheckWanted() const {
    if (cancelled != nullptr && *cancelled && (*cancelled)())
      return Fail(Code::kCancelled, "the pass was cancelled");
    return {};
  }
};

// y[m * stride + row] for row in [0, rows of the member).
struct LinearOutput {
  float* y = nullptr;
  int64_t stride = 0;
  const float* bias = nullptr;
};

// The matrices of a group times `tokens` rows; outputs[i] belongs to member i.
struct Product {
  const MatrixGroup* group = nullptr;
  kernels::Activations x{};
  int32_t tokens = 0;
  std::array<LinearOutput, kernels::kMaxOutputs> outputs{};
};

// Computes the products in their order. Resident regions go into one call, as long as that
// is no more than some ten milliseconds of work; a region that is streamed is multiplied by itself,
// so that its slot is free for the next one as soon as possible. Between calls it may be cancelled.
[[nodiscard]] Status LinearEach(const Backend& backend, const ModelLayout& layout,
                                std::span<const Product> products);
// One product; outputs[i] belongs to member i of the group.
[[nodiscard]] Status Linear(const Backend& backend, const MatrixGroup& group,
                            const ModelLayout& layout, const kernels::Activations& x,
                            int32_t tokens, std::span<const LinearOutput> outputs);

}  // namespace mirage::model
