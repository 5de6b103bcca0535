// SPDX-License-Identifier: Apache-2.0
#pragma once

// Arithmetic on untrusted sizes: every product and sum that comes from a file goes through here.

#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>

namespace mirage {

template <typename T>
[[nodiscard]] constexpr std::optional<T> CheckedAdd(T a, T b) {
  T out;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

template <typename T>
[[nodiscard]] constexpr std::optional<T> CheckedMul(T a, T b) {
  T out;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

// The value as another integer type, or nothing when it does not fit.
template <typename To, typename From>
[[nodiscard]] constexpr std::optional<To> CheckedCast(From value) {
  static_assert(std::is_integral_v<To> && std::is_integral_v<From>);
  const To out = static_cast<To>(value);
  if (static_cast<From>(out) != value || ((out < To{}) != (value < From{}))) return std::nullopt;
  return out;
}

// Stands for any number of bytes no machine has, low enough that a few of them add up without
// wrapping.
inline constexpr uint64_t kTooManyBytes = uint64_t{1} << 58;

// Rounds up to a multiple of a power of two. The caller has checked that it cannot wrap.
[[nodiscard]] constexpr uint64_t RoundUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

[[nodiscard]] constexpr uint64_t CeilDiv(uint64_t value, uint64_t divisor) {
  return value / divisor + (value % divisor != 0 ? 1 : 0);
}

}  // namespace mirage
