// SPDX-License-Identifier: Apache-2.0
// Filters on numbers and on values of any kind.
#include <array>
#include <cmath>

#include "text/jinja/arguments.h"
#include "text/jinja/attributes.h"
#include "text/jinja/compare.h"
#include "text/jinja/cursor.h"
#include "text/jinja/errors.h"
#include "text/jinja/filters.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/json.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_ops.h"

namespace mirage::text::jinja {
namespace {

constexpr double kTwo63 = 9223372036854775808.0;

Result<Value> Abs(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("abs()", call, {}));
  if (value.is_undefined()) return Wrong(value.undefined().message);
  if (!value.is_number()) {
    return Wrong("bad operand type for abs(): '" + std::string(TypeName(value)) + "'");
  }
  if (value.is(Kind::kFloat)) return Value::Float(std::fabs(value.as_float()));
  return value.as_int() < 0 ? Unary(runtime, UnaryOp::kNegate, value)
                            : Unary(runtime, UnaryOp::kPlus, value);
}

Result<Value> Default(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("default()", call, {"default_value", "boolean"}));
  if (!value.is_undefined() && !(bound.Truth(1, false) && !Truthy(value))) return value;
  if (bound.Get(0) != nullptr) return bound.At(0);
  return runtime.String("");
}

// int(float): what is left of the point, if it fits.
std::optional<Value> Truncated(double value) {
  const double whole = std::trunc(value);
  if (!(whole >= -kTwo63 && whole < kTwo63)) return std::nullopt;  // NaN too
  return Value::Int(static_cast<int64_t>(whole));
}

Result<Value> IntFilter(Runtime&, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("int()", call, {"default", "base"}));
  MIRAGE_TRY_ASSIGN(const int64_t base, bound.Int(1, 10));
  if (base != 0 && (base < 2 || base > 36)) return Wrong("int() base must be >= 2 and <= 36, or 0");
  const Value fallback = bound.Get(0) != nullptr ? bound.At(0) : Value::Int(0);
  if (value.is_undefined()) return Wrong(value.undefined().message);
  if (value.is_integral()) return Value::Int(value.as_int());
  if (value.is(Kind::kFloat)) {
    if (std::isnan(value.as_float())) return fallback;
    if (std::optional<Value> whole = Truncated(value.as_float())) return *whole;
    return Wrong("cannot convert the float to an integer of 64 bits");
  }
  if (!value.is_string()) return fallback;
  const ParsedInt parsed = ParseInt(value.bytes(), static_cast<int>(base));
  if (parsed.is_number) {
    if (!parsed.fits) return Wrong("an integer does not fit 64 bits");
    return Value::Int(parsed.value);
  }
  const std::optional<double> real = ParseFloat(value.bytes());
  if (!real || !std::isfinite(*real)) return fallback;
  if (std::optional<Value> whole = Truncated(*real)) return *whole;
  return Wrong("an integer does not fit 64 bits");
}

Result<Value> FloatFilter(Runtime&, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("float()", call, {"default"}));
  if (value.is_undefined()) return Wrong(value.undefined().message);
  if (value.is_number()) return Value::Float(value.as_float());
  if (value.is_string()) {
    if (const std::optional<double> real = ParseFloat(value.bytes())) return Value::Float(*real);
  }
  return bound.Get(0) != nullptr ? bound.At(0) : Value::Float(0);
}

// round(int, digits): only negative digits change it, halves go to even.
Result<Value> RoundInteger(int64_t value, int64_t digits) {
  if (digits >= 0) return Value::Int(value);
  if (digits < -18) return Value::Int(0);
  int64_t scale = 1;
  for (int64_t i = 0; i > digits; --i) scale *= 10;
  int64_t quotient = value / scale;
  const int64_t rest = value % scale;
  const int64_t distance = rest < 0 ? -rest : rest;
  if (distance > scale / 2 || (distance == scale / 2 && quotient % 2 != 0)) {
    quotient += value < 0 ? -1 : 1;
  }
  int64_t rounded = 0;
  if (__builtin_mul_overflow(quotient, scale, &rounded)) {
    return Wrong("an integer does not fit 64 bits");
  }
  return Value::Int(rounded);
}

Result<Value> Round(Runtime&, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("round()", call, {"precision", "method"}));
  MIRAGE_TRY_ASSIGN(const int64_t digits, bound.Int(0, 0));
  std::string_view method = "common";
  if (bound.Get(1) != nullptr) {
    if (!bound.At(1).is_string()) return Wrong("method must be common, ceil or floor");
    method = bound.At(1).bytes();
  }
  if (method != "common" && method != "ceil" && method != "floor") {
    return Wrong("method must be common, ceil or floor");
  }
  if (value.is_undefined()) return Wrong(value.undefined().message);
  if (!value.is_number()) {
    return Wrong("type " + std::string(TypeName(value)) + " doesn't define __round__ method");
  }
  if (method == "common") {
    if (value.is_integral()) return RoundInteger(value.as_int(), digits);
    return Value::Float(RoundHalfEven(value.as_float(), digits));
  }
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double scaled = value.as_float() * scale;
  const double rounded = method == "ceil" ? std::ceil(scaled) : std::floor(scaled);
  if (!std::isfinite(rounded)) return Wrong("cannot convert the float to an integer");
  return Value::Float(rounded / scale);
}

Result<Value> FileSizeFormat(Runtime& runtime, const Value& value, const CallArguments& call) {
  static constexpr std::array<std::string_view, 8> kDecimal = {"kB", "MB", "GB", "TB",
                                                               "PB", "EB", "ZB", "YB"};
  static constexpr std::array<std::string_view, 8> kBinary = {"KiB", "MiB", "GiB", "TiB",
                                                              "PiB", "EiB", "ZiB", "YiB"};
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("filesizeformat()", call, {"binary"}));
  std::optional<double> number;
  if (value.is_number()) number = value.as_float();
  if (value.is_string()) number = ParseFloat(value.bytes());
  if (!number || !std::isfinite(*number)) return Wrong("filesizeformat() needs a number");
  if (*number == 1) return runtime.String("1 Byte");
  const bool binary = bound.Truth(0, false);
  const double base = binary ? 1024 : 1000;
  if (*number < base) {
    const std::optional<Value> bytes = Truncated(*number);
    if (!bytes) return Wrong("filesizeformat() needs a number of bytes that fits 64 bits");
    return runtime.String(std::to_string(bytes->as_int()) + " Bytes");
  }
  double unit = base * base;
  size_t prefix = 0;
  while (*number >= unit && prefix + 1 < kDecimal.size()) {
    unit *= base;
    ++prefix;
  }
  FormatSpec spec;
  spec.type = 'f';
  spec.precision = 1;
  MIRAGE_TRY_ASSIGN(const TextPtr digits,
                    FormatFloat(runtime.budget(), spec, base * *number / unit));
  return runtime.String(std::string(digits->bytes()) + " " +
                        std::string(binary ? kBinary[prefix] : kDecimal[prefix]));
}

Result<Value> ToJson(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(
      const Bound bound,
      Bound::To("tojson()", call, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = bound.Truth(0, false);
  style.sort_keys = bound.Truth(3, false);
  if (const Value* indent = bound.GetUnlessNone(1)) {
    if (indent->is_string()) {
      style.indent = indent->text_ptr();
    } else {
      MIRAGE_TRY_ASSIGN(const int64_t width, bound.Int(1, 0));
      MIRAGE_TRY_ASSIGN(style.indent, Repeat(runtime.budget(), *ConstantText(" "), width));
    }
  }
  if (const Value* separators = bound.GetUnlessNone(2)) {
    const bool pair = separators->is_sequence() && separators->items().size() == 2 &&
                      separators->items()[0].is_string() && separators->items()[1].is_string();
    if (!pair) return Wrong("tojson() separators must be two strings");
    style.item_separator = separators->items()[0].text_ptr();
    style.key_separator = separators->items()[1].text_ptr();
  }
  MIRAGE_TRY_ASSIGN(TextPtr text, WriteJson(runtime, value, style));
  return Value::String(std::move(text));
}

Result<Value> Length(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("length()", call, {}));
  if (value.is(Kind::kLoop)) {
    MIRAGE_TRY_ASSIGN(const Value name, runtime.String("length"));
    return GetAttribute(runtime, value, name);
  }
  if (const std::optional<int64_t> length = LengthOf(value)) return Value::Int(*length);
  return Wrong("object of type '" + std::string(TypeName(value)) + "' has no len()");
}

Result<Value> Attr(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("attr()", call, {"name"}, 1));
  MIRAGE_TRY(bound.String(0));
  // Attributes only: a dict's keys are not.
  if (value.is(Kind::kDict) && value.dict().Find(bound.At(0)) != nullptr) {
    MIRAGE_TRY_ASSIGN(const Value empty, runtime.MakeDict({}));
    MIRAGE_TRY_ASSIGN(const Value attribute, GetAttribute(runtime, empty, bound.At(0)));
    if (attribute.is_undefined()) return runtime.MissingElement(value, bound.At(0));
  }
  return GetAttribute(runtime, value, bound.At(0));
}

constexpr NativeFunction kFilters[] = {
    {"abs", Abs},           {"attr", Attr},       {"count", Length},
    {"d", Default},         {"default", Default}, {"filesizeformat", FileSizeFormat},
    {"float", FloatFilter}, {"int", IntFilter},   {"length", Length},
    {"round", Round},       {"tojson", ToJson},
};

}  // namespace

std::span<const NativeFunction> ValueFilters() { return kFilters; }

}  // namespace mirage::text::jinja
