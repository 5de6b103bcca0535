// SPDX-License-Identifier: Apache-2.0
#pragma once

// The stages that lead from logits to the distribution drawn from, and their order.
//
// Bias and masks come before all stages, the draw after them. A stage that an order leaves out is
// off, whatever its parameters are.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage::sample {

enum class Stage : uint8_t {
  kPenalties,
  kDry,
  kTopNSigma,
  kTopK,
  kTypical,
  kTopP,
  kMinP,
  kXtc,
  kTemperature,
};

using Order = std::vector<Stage>;

[[nodiscard]] Order DefaultOrder();

// "top_k;temperature": names separated by ';' or ',', with '-' for '_' if one likes; "" is an order
// without stages. kInvalidArgument for a name that is unknown or given twice.
[[nodiscard]] Result<Order> ParseOrder(std::string_view names);

// The inverse, for reports.
[[nodiscard]] std::string OrderNames(const Order& order);

}  // namespace mirage::sample
