// SPDX-License-Identifier: Apache-2.0
#pragma once

// JsonValue: a schema's JSON with its numbers as they are written, since a bound of 0.1 is that and
// not the nearest double.
//
// A value; not changed once parsed.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage::grammar {

// A decimal number, exactly. Zero has no digits and is not negative.
struct Decimal {
  bool negative = false;
  std::string whole;     // digits before the point, without leading zeros
  std::string fraction;  // digits behind it, without trailing zeros
  bool operator==(const Decimal&) const = default;
  [[nodiscard]] bool zero() const { return whole.empty() && fraction.empty(); }
};

struct JsonValue {
  enum class Type : uint8_t { kNull, kFalse, kTrue, kNumber, kString, kArray, kObject };
  Type type = Type::kNull;
  Decimal number;
  std::string text;
  std::vector<JsonValue> items;
  struct Member;
  std::vector<Member> members;

  [[nodiscard]] bool is(Type wanted) const { return type == wanted; }
  [[nodiscard]] const JsonValue* Find(std::string_view name) const;
};

struct JsonValue::Member {
  std::string name;
  JsonValue value;
};

inline const JsonValue* JsonValue::Find(std::string_view name) const {
  for (const Member& member : members)
    if (member.name == name) return &member.value;
  return nullptr;
}

// Bounded in bytes and nesting. A name twice in an object is refused.
[[nodiscard]] Result<JsonValue> ParseJson(std::string_view text);

}  // namespace mirage::grammar
