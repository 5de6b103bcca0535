// SPDX-License-Identifier: Apache-2.0
#pragma once

// The stages that lead from logits to the distribution drawn from, and their order.
//
// Bias and masks come before all stages, the draw after them. A stage that an order leaves out is
// off, whatever its parameters are.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

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

inline constexpr size_t kStages = 9;

// Each stage at most once. Allocates nothing: options are initialised before the application may
// have said where memory comes from.
class Order {
 public:
  Order() = default;
  Order(std::initializer_list<Stage> stages) {
    for (const Stage stage : stages) push_back(stage);
  }
  // A stage that is not there yet.
  void push_back(Stage stage) { stages_[size_++] = stage; }

  [[nodiscard]] const Stage* begin() const { return stages_.data(); }
  [[nodiscard]] const Stage* end() const { return stages_.data() + size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool operator==(const Order& other) const {
    return std::equal(begin(), end(), other.begin(), other.end());
  }

 private:
  std::array<Stage, kStages> stages_{};
  size_t size_ = 0;
};

[[nodiscard]] Order DefaultOrder();

// "top_k;temperature": names separated by ';' or ',', with '-' for '_' if one likes; "" is an order
// without stages. kInvalidArgument for a name that is unknown or given twice.
[[nodiscard]] Result<Order> ParseOrder(std::string_view names);

// The inverse, for reports.
[[nodiscard]] std::string OrderNames(const Order& order);

}  // namespace mirage::sample
