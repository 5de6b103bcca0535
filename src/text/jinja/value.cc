// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/value.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/compare.h"

namespace mirage::text::jinja {
namespace {

int Sign(int64_t difference) { return difference < 0 ? -1 : difference > 0 ? 1 : 0; }

// Which group of mutually comparable keys a value is in.
int KeyClass(const Value& key) {
  if (key.is_number()) return 0;
  if (key.is_string()) return 1;
  if (key.is(Kind::kTuple)) return 2;
  return 3 + static_cast<int>(key.kind());
}

int CompareTuples(const std::vector<Value>& left, const std::vector<Value>& right) {
  for (size_t i = 0; i < left.size() && i < right.size(); ++i) {
    if (const int order = CompareKeys(left[i], right[i]); order != 0) return order;
  }
  return Sign(static_cast<int64_t>(left.size()) - static_cast<int64_t>(right.size()));
}

int CompareNumericKeys(const Value& left, const Value& right) {
  const bool left_nan = left.is(Kind::kFloat) && std::isnan(left.as_float());
  const bool right_nan = right.is(Kind::kFloat) && std::isnan(right.as_float());
  if (left_nan || right_nan) return int{right_nan} - int{left_nan};
  return CompareNumbers(left, right);
}

}  // namespace

const std::vector<Value>& Value::items() const { return sequence().items; }

int CompareKeys(const Value& left, const Value& right) {
  const int left_class = KeyClass(left);
  const int right_class = KeyClass(right);
  if (left_class != right_class) return Sign(left_class - right_class);
  switch (left_class) {
    case 0:
      return CompareNumericKeys(left, right);
    case 1:
      return Sign(left.bytes().compare(right.bytes()));
    case 2:
      return CompareTuples(left.items(), right.items());
    default: {
      const auto* l = left.object().get();
      const auto* r = right.object().get();
      return l == r ? 0 : std::less<>()(l, r) ? -1 : 1;
    }
  }
}

const Value* Dict::Find(const Value& key) const {
  if (order.empty()) {
    for (const auto& [k, v] : entries) {
      if (CompareKeys(k, key) == 0) return &v;
    }
    return nullptr;
  }
  const auto at =
      std::lower_bound(order.begin(), order.end(), key, [&](uint32_t entry, const Value& wanted) {
        return CompareKeys(entries[entry].first, wanted) < 0;
      });
  if (at == order.end() || CompareKeys(entries[*at].first, key) != 0) return nullptr;
  return &entries[*at].second;
}

const Value* Dict::Find(std::string_view key) const {
  if (order.empty()) {
    for (const auto& [k, v] : entries) {
      if (k.is_string() && k.bytes() == key) return &v;
    }
    return nullptr;
  }
  const auto precedes = [&](uint32_t entry, std::string_view wanted) {
    const Value& k = entries[entry].first;
    return k.is_string() ? k.bytes() < wanted : KeyClass(k) < 1;
  };
  const auto at = std::lower_bound(order.begin(), order.end(), key, precedes);
  if (at == order.end()) return nullptr;
  const auto& [k, v] = entries[*at];
  return k.is_string() && k.bytes() == key ? &v : nullptr;
}

Value* Namespace::Find(std::string_view name) {
  for (auto& [member, value] : members) {
    if (member == name) return &value;
  }
  return nullptr;
}

std::string_view TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.is_markup() ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kDictView:
      switch (value.view().part) {
        case DictPart::kKeys:
          return "dict_keys";
        case DictPart::kValues:
          return "dict_values";
        case DictPart::kItems:
          return "dict_items";
      }
      return "dict_items";
    case Kind::kRange:
      return "range";
    case Kind::kIterator:
      return value.iterator().type_name;
    case Kind::kNamespace:
      return "TemplateNamespace";
    case Kind::kFunction:
      return "builtin_function_or_method";
    case Kind::kMacro:
      return "Macro";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCycler:
      return "Cycler";
    case Kind::kJoiner:
      return "Joiner";
  }
  return "object";
}

bool IsHashable(const Value& value) {
  switch (value.kind()) {
    case Kind::kList:
    case Kind::kDict:
    case Kind::kDictView:
      return false;
    case Kind::kTuple:
      return std::all_of(value.items().begin(), value.items().end(), IsHashable);
    default:
      return true;
  }
}

}  // namespace mirage::text::jinja
