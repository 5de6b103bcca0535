// SPDX-License-Identifier: Apache-2.0
#pragma once

// Budget: what a render has used of its Limits. Charge: bytes of it held by one object while it
// lives.
//
// The budget outlives every object charged to it. One thread at a time: a render has its own.

#include <cstdint>
#include <utility>

#include "base/result.h"
#include "text/jinja/limits.h"

namespace mirage::text::jinja {

class Budget;

class Charge {
 public:
  Charge() = default;
  Charge(Charge&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Charge();

 private:
  friend class Budget;
  Charge(Budget* budget, uint64_t bytes) : budget_(budget), bytes_(bytes) {}

  Budget* budget_ = nullptr;
  uint64_t bytes_ = 0;
};

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  const Limits& limits() const { return limits_; }

  Status Step(uint64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) return StepsExceeded();
    return {};
  }

  // Steps for work that grows with a text's length.
  Status StepBytes(uint64_t bytes) { return Step(bytes / 32); }

  Result<Charge> Take(uint64_t bytes);

  // Makes an existing charge, or an empty one, larger.
  Status Extend(Charge* charge, uint64_t bytes);

  // Fails if one string may not have this many bytes; `repeats` guards the product.
  Status CheckStringBytes(uint64_t bytes, uint64_t repeats = 1) const;

 private:
  friend class Charge;
  tl::unexpected<Error> StepsExceeded() const;

  Limits limits_;
  uint64_t live_bytes_ = 0;
  uint64_t steps_ = 0;
};

inline Charge::~Charge() {
  if (budget_ != nullptr) budget_->live_bytes_ -= bytes_;
}

}  // namespace mirage::text::jinja
