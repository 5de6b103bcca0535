// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/budget.h"

#include "text/jinja/errors.h"

namespace mirage::text::jinja {

Result<Charge> Budget::Take(uint64_t bytes) {
  Charge charge;
  MIRAGE_TRY(Extend(&charge, bytes));
  return charge;
}

Status Budget::Extend(Charge* charge, uint64_t bytes) {
  if (bytes > limits_.live_bytes - live_bytes_) {
    return LimitReached("live_bytes", limits_.live_bytes);
  }
  live_bytes_ += bytes;
  charge->budget_ = this;
  charge->bytes_ += bytes;
  return {};
}

Status Budget::CheckStringBytes(uint64_t bytes, uint64_t repeats) const {
  uint64_t product = 0;
  if (__builtin_mul_overflow(bytes, repeats, &product) || product > limits_.string_bytes) {
    return LimitReached("string_bytes", limits_.string_bytes);
  }
  return {};
}

tl::unexpected<Error> Budget::StepsExceeded() const { return LimitReached("steps", limits_.steps); }

}  // namespace mirage::text::jinja
