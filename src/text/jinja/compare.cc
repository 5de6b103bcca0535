// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/compare.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/cursor.h"
#include "text/jinja/errors.h"
#include "text/jinja/text_ops.h"

namespace mirage::text::jinja {
namespace {

bool IsNan(const Value& value) { return value.is(Kind::kFloat) && std::isnan(value.as_float()); }

// An int against a float without rounding the int.
int CompareIntToFloat(int64_t integer, double real) {
  constexpr double kTwo63 = 9223372036854775808.0;
  if (real >= kTwo63) return -1;
  if (real < -kTwo63) return 1;
  const double whole = std::floor(real);
  const auto truncated = static_cast<int64_t>(whole);
  if (integer != truncated) return integer < truncated ? -1 : 1;
  return real > whole ? -1 : 0;
}

Result<bool> EqualItems(Runtime& runtime, const std::vector<Value>& left,
                        const std::vector<Value>& right) {
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    MIRAGE_TRY_ASSIGN(const bool equal, Equal(runtime, left[i], right[i]));
    if (!equal) return false;
  }
  return true;
}

Result<bool> EqualDicts(Runtime& runtime, const Dict& left, const Dict& right) {
  if (left.entries.size() != right.entries.size()) return false;
  for (const auto& [key, value] : left.entries) {
    const Value* other = right.Find(key);
    if (other == nullptr) return false;
    MIRAGE_TRY_ASSIGN(const bool equal, Equal(runtime, value, *other));
    if (!equal) return false;
  }
  return true;
}

bool EqualRanges(const Range& left, const Range& right) {
  if (left.count != right.count) return false;
  if (left.count == 0) return true;
  return left.start == right.start && (left.count == 1 || left.step == right.step);
}

Result<bool> LessItems(Runtime& runtime, const std::vector<Value>& left,
                       const std::vector<Value>& right, std::string_view op) {
  for (size_t i = 0; i < left.size() && i < right.size(); ++i) {
    MIRAGE_TRY_ASSIGN(const bool equal, Equal(runtime, left[i], right[i]));
    if (!equal) return Less(runtime, left[i], right[i], op);
  }
  return left.size() < right.size();
}

Result<bool> AnyEqual(Runtime& runtime, const Value& haystack, const Value& needle) {
  MIRAGE_TRY_ASSIGN(Cursor cursor, Cursor::Over(runtime, haystack));
  Value item;
  while (true) {
    MIRAGE_TRY_ASSIGN(const bool more, cursor.Next(&item));
    if (!more) return false;
    MIRAGE_TRY_ASSIGN(const bool equal, Equal(runtime, item, needle));
    if (equal) return true;
  }
}

// Merges [begin, middle) and [middle, end) of `order`, keeping the first of equals first.
Status Merge(Runtime& runtime, const std::vector<Value>& keys, bool reverse, size_t begin,
             size_t middle, size_t end, std::vector<size_t>* order, std::vector<size_t>* scratch) {
  size_t left = begin, right = middle, out = begin;
  while (left < middle && right < end) {
    const Value& a = keys[(*order)[left]];
    const Value& b = keys[(*order)[right]];
    MIRAGE_TRY_ASSIGN(const bool right_first,
                      reverse ? Less(runtime, a, b, "<") : Less(runtime, b, a, "<"));
    (*scratch)[out++] = right_first ? (*order)[right++] : (*order)[left++];
  }
  while (left < middle) (*scratch)[out++] = (*order)[left++];
  while (right < end) (*scratch)[out++] = (*order)[right++];
  std::copy(scratch->begin() + static_cast<ptrdiff_t>(begin),
            scratch->begin() + static_cast<ptrdiff_t>(end),
            order->begin() + static_cast<ptrdiff_t>(begin));
  return {};
}

}  // namespace

bool Truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_float() != 0;
    case Kind::kString:
      return value.text().size() != 0;
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return !value.dict().entries.empty();
    case Kind::kDictView:
      return !value.view().dict.dict().entries.empty();
    case Kind::kRange:
      return value.range().count != 0;
    default:
      return true;
  }
}

int CompareNumbers(const Value& left, const Value& right) {
  if (left.is_integral() && right.is_integral()) {
    return left.as_int() < right.as_int() ? -1 : left.as_int() > right.as_int() ? 1 : 0;
  }
  if (left.is_integral()) return CompareIntToFloat(left.as_int(), right.as_float());
  if (right.is_integral()) return -CompareIntToFloat(right.as_int(), left.as_float());
  return left.as_float() < right.as_float() ? -1 : left.as_float() > right.as_float() ? 1 : 0;
}

Result<bool> Equal(Runtime& runtime, const Value& left, const Value& right) {
  MIRAGE_TRY(runtime.Step());
  if (left.is_number() && right.is_number()) {
    return !IsNan(left) && !IsNan(right) && CompareNumbers(left, right) == 0;
  }
  if (left.kind() != right.kind()) return false;
  if (left.object() == right.object()) return true;  // also None with None
  switch (left.kind()) {
    case Kind::kUndefined:
      return true;
    case Kind::kString:
      return left.bytes() == right.bytes();
    case Kind::kList:
    case Kind::kTuple:
      return EqualItems(runtime, left.items(), right.items());
    case Kind::kDict:
      return EqualDicts(runtime, left.dict(), right.dict());
    case Kind::kRange:
      return EqualRanges(left.range(), right.range());
    default:
      return false;
  }
}

Result<bool> Less(Runtime& runtime, const Value& left, const Value& right, std::string_view op) {
  MIRAGE_TRY(runtime.Step());
  if (left.is_number() && right.is_number()) {
    return !IsNan(left) && !IsNan(right) && CompareNumbers(left, right) < 0;
  }
  // UTF-8 keeps the order of code points.
  if (left.is_string() && right.is_string()) return left.bytes() < right.bytes();
  if (left.is_sequence() && left.kind() == right.kind()) {
    return LessItems(runtime, left.items(), right.items(), op);
  }
  if (left.is_undefined()) return Wrong(left.undefined().message);
  if (right.is_undefined()) return Wrong(right.undefined().message);
  return Wrong("'" + std::string(op) + "' not supported between instances of '" +
               std::string(TypeName(left)) + "' and '" + std::string(TypeName(right)) + "'");
}

Result<bool> Contains(Runtime& runtime, const Value& haystack, const Value& needle) {
  MIRAGE_TRY(runtime.Step());
  switch (haystack.kind()) {
    case Kind::kString:
      if (!needle.is_string()) {
        return Wrong("'in <string>' requires string as left operand, not " +
                     std::string(TypeName(needle)));
      }
      MIRAGE_TRY(runtime.budget().StepBytes(haystack.text().size()));
      return FindBytes(haystack.bytes(), needle.bytes()) != std::string_view::npos;
    case Kind::kDict:
      if (!IsHashable(needle)) {
        return Wrong("unhashable type: '" + std::string(TypeName(needle)) + "'");
      }
      return haystack.dict().Find(needle) != nullptr;
    case Kind::kUndefined:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDictView:
    case Kind::kRange:
    case Kind::kIterator:
      return AnyEqual(runtime, haystack, needle);
    default:
      return Wrong("argument of type '" + std::string(TypeName(haystack)) + "' is not iterable");
  }
}

Result<std::vector<size_t>> SortedOrder(Runtime& runtime, const std::vector<Value>& keys,
                                        bool reverse) {
  // std::stable_sort may run out of bounds when an order contradicts itself, as one with NaN does.
  std::vector<size_t> order(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::vector<size_t> scratch(keys.size());
  for (size_t width = 1; width < keys.size(); width *= 2) {
    for (size_t begin = 0; begin + width < keys.size(); begin += 2 * width) {
      const size_t end = std::min(begin + 2 * width, keys.size());
      MIRAGE_TRY(Merge(runtime, keys, reverse, begin, begin + width, end, &order, &scratch));
    }
  }
  return order;
}

}  // namespace mirage::text::jinja
