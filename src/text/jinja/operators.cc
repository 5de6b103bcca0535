// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/operators.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "text/jinja/errors.h"
#include "text/jinja/format.h"
#include "text/jinja/text_ops.h"

namespace mirage::text::jinja {
namespace {

std::string_view Symbol(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSubtract:
      return "-";
    case BinaryOp::kMultiply:
      return "*";
    case BinaryOp::kDivide:
      return "/";
    case BinaryOp::kFloorDivide:
      return "//";
    case BinaryOp::kModulo:
      return "%";
    case BinaryOp::kPower:
      return "** or pow()";
  }
  return "?";
}

tl::unexpected<Error> WrongOperands(BinaryOp op, const Value& left, const Value& right) {
  return Wrong("unsupported operand type(s) for " + std::string(Symbol(op)) + ": '" +
               std::string(TypeName(left)) + "' and '" + std::string(TypeName(right)) + "'");
}

tl::unexpected<Error> IntegerOverflow() { return Wrong("an integer does not fit 64 bits"); }

Result<int64_t> IntegerPower(int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) {
      return IntegerOverflow();
    }
    // The last square may overflow without being used.
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return IntegerOverflow();
  }
  return result;
}

Result<Value> IntegerBinary(BinaryOp op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case BinaryOp::kAdd:
      if (__builtin_add_overflow(a, b, &result)) return IntegerOverflow();
      return Value::Int(result);
    case BinaryOp::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) return IntegerOverflow();
      return Value::Int(result);
    case BinaryOp::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) return IntegerOverflow();
      return Value::Int(result);
    case BinaryOp::kDivide:
      if (b == 0) return Wrong("division by zero");
      return Value::Float(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOp::kFloorDivide:
    case BinaryOp::kModulo: {
      if (b == 0) return Wrong("integer division or modulo by zero");
      if (b == -1) {  // INT64_MIN / -1 does not fit
        if (op == BinaryOp::kModulo) return Value::Int(0);
        return IntegerBinary(BinaryOp::kSubtract, 0, a);
      }
      // C++ rounds to zero, Python down.
      const bool adjust = a % b != 0 && (a < 0) != (b < 0);
      if (op == BinaryOp::kModulo) return Value::Int(a % b + (adjust ? b : 0));
      return Value::Int(a / b - (adjust ? 1 : 0));
    }
    case BinaryOp::kPower: {
      if (b < 0) {
        if (a == 0) return Wrong("0.0 cannot be raised to a negative power");
        return Value::Float(std::pow(static_cast<double>(a), static_cast<double>(b)));
      }
      MIRAGE_TRY_ASSIGN(const int64_t power, IntegerPower(a, b));
      return Value::Int(power);
    }
  }
  return IntegerOverflow();
}

double FloorModulo(double a, double b) {
  const double remainder = std::fmod(a, b);
  if (remainder != 0) return (b < 0) != (remainder < 0) ? remainder + b : remainder;
  return std::copysign(0.0, b);
}

// As CPython does it: the quotient of what the remainder leaves, rounded to the nearest whole
// number.
double FloorDivide(double a, double b) {
  const double quotient = (a - FloorModulo(a, b)) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

Result<Value> FloatBinary(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value::Float(a + b);
    case BinaryOp::kSubtract:
      return Value::Float(a - b);
    case BinaryOp::kMultiply:
      return Value::Float(a * b);
    case BinaryOp::kDivide:
      if (b == 0) return Wrong("float division by zero");
      return Value::Float(a / b);
    case BinaryOp::kFloorDivide:
      if (b == 0) return Wrong("float floor division by zero");
      return Value::Float(FloorDivide(a, b));
    case BinaryOp::kModulo:
      if (b == 0) return Wrong("float modulo by zero");
      return Value::Float(FloorModulo(a, b));
    case BinaryOp::kPower: {
      if (a == 0 && b < 0) return Wrong("0.0 cannot be raised to a negative power");
      if (a < 0 && std::isfinite(b) && b != std::floor(b)) {
        return Wrong("a complex number is not supported");
      }
      const double power = std::pow(a, b);
      if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) {
        return Wrong("(34, 'Numerical result out of range')");
      }
      return Value::Float(power);
    }
  }
  return IntegerOverflow();
}

Result<Value> AddStrings(Runtime& runtime, const Value& left, const Value& right) {
  const bool markup = left.is_markup() || right.is_markup();
  const auto escaped = [&](const Value& value) -> Result<TextPtr> {
    if (!markup || value.is_markup()) return value.text_ptr();
    return EscapeHtml(runtime.budget(), value.text());
  };
  MIRAGE_TRY_ASSIGN(const TextPtr a, escaped(left));
  MIRAGE_TRY_ASSIGN(const TextPtr b, escaped(right));
  MIRAGE_TRY_ASSIGN(TextPtr sum, Concat(runtime.budget(), *a, *b));
  return Value::String(std::move(sum), markup);
}

Result<Value> MakeSame(Runtime& runtime, Kind kind, std::vector<Value> items) {
  return kind == Kind::kTuple ? runtime.Tuple(std::move(items)) : runtime.List(std::move(items));
}

Result<Value> RepeatSequence(Runtime& runtime, const Value& sequence, int64_t count) {
  const auto repeats = static_cast<uint64_t>(std::max<int64_t>(count, 0));
  uint64_t total = 0;
  if (__builtin_mul_overflow(sequence.items().size(), repeats, &total) ||
      total > runtime.limits().live_bytes / sizeof(Value)) {
    return LimitReached("live_bytes", runtime.limits().live_bytes);
  }
  MIRAGE_TRY(runtime.Step(total));
  std::vector<Value> items;
  items.reserve(total);
  while (items.size() < total) {
    items.insert(items.end(), sequence.items().begin(), sequence.items().end());
  }
  return MakeSame(runtime, sequence.kind(), std::move(items));
}

// Python's bounds of a slice of `length` items.
struct SliceRange {
  int64_t start = 0, stop = 0, step = 1;
  uint64_t count() const {
    if (step > 0 ? start >= stop : start <= stop) return 0;
    return step > 0
               ? (static_cast<uint64_t>(stop - start) - 1) / static_cast<uint64_t>(step) + 1
               : (static_cast<uint64_t>(start - stop) - 1) / (0 - static_cast<uint64_t>(step)) + 1;
  }
};

Result<std::optional<int64_t>> SliceIndex(const Value* index) {
  if (index == nullptr || index->is_none()) return std::optional<int64_t>();
  if (!index->is_integral()) {
    return Wrong("slice indices must be integers or None or have an __index__ method");
  }
  return std::optional<int64_t>(index->as_int());
}

Result<SliceRange> ResolveSlice(int64_t length, const Value* start, const Value* stop,
                                const Value* step) {
  MIRAGE_TRY_ASSIGN(const std::optional<int64_t> given_start, SliceIndex(start));
  MIRAGE_TRY_ASSIGN(const std::optional<int64_t> given_stop, SliceIndex(stop));
  MIRAGE_TRY_ASSIGN(const std::optional<int64_t> given_step, SliceIndex(step));
  SliceRange range;
  range.step = given_step.value_or(1);
  if (range.step == 0) return Wrong("slice step cannot be zero");
  const bool forward = range.step > 0;
  const int64_t least = forward ? 0 : -1;
  const int64_t most = forward ? length : length - 1;
  const auto clamp = [&](int64_t index) {
    if (index < 0) index = index < -length ? least : index + length;
    return std::clamp(index, least, most);
  };
  range.start = given_start ? clamp(*given_start) : forward ? 0 : length - 1;
  range.stop = given_stop ? clamp(*given_stop) : forward ? length : -1;
  return range;
}

Result<Value> SliceText(Runtime& runtime, const Value& value, const SliceRange& range) {
  const Text& text = value.text();
  MIRAGE_TRY(runtime.budget().StepBytes(text.WalkBytes()));
  const uint64_t count = range.count();
  TextBuilder out(runtime.budget());
  if (count > 0 && range.step == 1) {
    out.Append(text, text.ByteOffset(static_cast<size_t>(range.start)),
               text.ByteOffset(static_cast<size_t>(range.stop)));
  } else if (count > 0) {
    MIRAGE_TRY(runtime.Step(text.code_points()));
    std::vector<uint32_t> offsets;
    offsets.reserve(text.code_points() + 1);
    for (size_t at = 0; at < text.size(); ++at) {
      if ((static_cast<unsigned char>(text.bytes()[at]) & 0xC0) != 0x80) {
        offsets.push_back(static_cast<uint32_t>(at));
      }
    }
    offsets.push_back(static_cast<uint32_t>(text.size()));
    int64_t index = range.start;
    for (uint64_t i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(index);
      out.Append(text, offsets[at], offsets[at + 1]);
      if (i + 1 < count) index += range.step;
    }
  }
  MIRAGE_TRY_ASSIGN(TextPtr slice, out.Finish());
  return Value::String(std::move(slice), value.is_markup());
}

}  // namespace

Result<Value> Binary(Runtime& runtime, BinaryOp op, const Value& left, const Value& right) {
  if (left.is_integral() && right.is_integral()) {
    return IntegerBinary(op, left.as_int(), right.as_int());
  }
  if (left.is_number() && right.is_number()) {
    return FloatBinary(op, left.as_float(), right.as_float());
  }
  // A format string takes anything, and prints an undefined as nothing.
  if (op == BinaryOp::kModulo && left.is_string()) {
    return FormatPercent(runtime, left, right);
  }
  if (left.is_undefined()) return Wrong(left.undefined().message);
  if (right.is_undefined()) return Wrong(right.undefined().message);
  if (op == BinaryOp::kAdd) {
    if (left.is_string() && right.is_string()) return AddStrings(runtime, left, right);
    if (left.is_sequence() && left.kind() == right.kind()) {
      std::vector<Value> items = left.items();
      items.insert(items.end(), right.items().begin(), right.items().end());
      return MakeSame(runtime, left.kind(), std::move(items));
    }
    if (left.is_string() || left.is_sequence()) {
      return Wrong("can only concatenate " + std::string(TypeName(left)) + " (not \"" +
                   std::string(TypeName(right)) + "\") to " + std::string(TypeName(left)));
    }
  }
  if (op == BinaryOp::kMultiply) {
    const Value& repeated = left.is_integral() ? right : left;
    const Value& count = left.is_integral() ? left : right;
    if (count.is_integral() && repeated.is_string()) {
      MIRAGE_TRY_ASSIGN(TextPtr text, Repeat(runtime.budget(), repeated.text(), count.as_int()));
      return Value::String(std::move(text), repeated.is_markup());
    }
    if (count.is_integral() && repeated.is_sequence()) {
      return RepeatSequence(runtime, repeated, count.as_int());
    }
  }
  return WrongOperands(op, left, right);
}

Result<Value> Unary(Runtime&, UnaryOp op, const Value& operand) {
  if (operand.is_undefined()) return Wrong(operand.undefined().message);
  if (!operand.is_number()) {
    return Wrong(std::string("bad operand type for unary ") + (op == UnaryOp::kNegate ? "-" : "+") +
                 ": '" + std::string(TypeName(operand)) + "'");
  }
  if (operand.is(Kind::kFloat)) {
    return Value::Float(op == UnaryOp::kNegate ? -operand.as_float() : operand.as_float());
  }
  if (op == UnaryOp::kPlus) return Value::Int(operand.as_int());
  return IntegerBinary(BinaryOp::kSubtract, 0, operand.as_int());
}

Result<Value> TakeSlice(Runtime& runtime, const Value& object, const Value* start,
                        const Value* stop, const Value* step) {
  if (object.is_undefined()) return Wrong(object.undefined().message);
  if (object.is_string()) {
    const auto length = static_cast<int64_t>(object.text().code_points());
    MIRAGE_TRY_ASSIGN(const SliceRange range, ResolveSlice(length, start, stop, step));
    return SliceText(runtime, object, range);
  }
  if (object.is_sequence()) {
    const auto length = static_cast<int64_t>(object.items().size());
    MIRAGE_TRY_ASSIGN(const SliceRange range, ResolveSlice(length, start, stop, step));
    std::vector<Value> items;
    const uint64_t count = range.count();
    items.reserve(count);
    int64_t index = range.start;
    for (uint64_t i = 0; i < count; ++i) {
      items.push_back(object.items()[static_cast<size_t>(index)]);
      if (i + 1 < count) index += range.step;
    }
    return MakeSame(runtime, object.kind(), std::move(items));
  }
  if (object.is(Kind::kRange)) {
    const Range& whole = object.range();
    MIRAGE_TRY_ASSIGN(const SliceRange range, ResolveSlice(whole.count, start, stop, step));
    int64_t stride = 0, first = 0, last = 0;
    if (__builtin_mul_overflow(whole.step, range.step, &stride) ||
        __builtin_mul_overflow(whole.step, range.start, &first) ||
        __builtin_add_overflow(whole.start, first, &first) ||
        __builtin_mul_overflow(whole.step, range.stop, &last) ||
        __builtin_add_overflow(whole.start, last, &last)) {
      return IntegerOverflow();
    }
    return runtime.MakeRange(first, last, stride);
  }
  return Wrong("'" + std::string(TypeName(object)) + "' object is not subscriptable");
}

double RoundHalfEven(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < -308) return std::copysign(0.0, value);
  if (digits < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-digits));
    return std::nearbyint(value / scale) * scale;
  }
  // Printing rounds the exact binary value, and reading back gives the nearest double: Python's
  // way.
  char buffer[800];
  const auto printed = std::to_chars(buffer, buffer + sizeof buffer, value,
                                     std::chars_format::fixed, static_cast<int>(digits));
  double rounded = value;
  std::from_chars(buffer, printed.ptr, rounded);
  return rounded;
}

}  // namespace mirage::text::jinja
