// SPDX-License-Identifier: Apache-2.0
// The tests: what stands behind `is`.
#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/characters.h"
#include "text/jinja/compare.h"
#include "text/jinja/cursor.h"
#include "text/jinja/errors.h"
#include "text/jinja/natives.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"

namespace mirage::text::jinja {
namespace {

// A test without arguments.
template <bool (*kHolds)(const Value&)>
Result<Value> Plain(Runtime&, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("the test", call, {}));
  return Value::Bool(kHolds(value));
}

bool IsDefined(const Value& value) { return !value.is_undefined(); }
bool IsUndefined(const Value& value) { return value.is_undefined(); }
bool IsNone(const Value& value) { return value.is_none(); }
bool IsBoolean(const Value& value) { return value.is(Kind::kBool); }
bool IsTrue(const Value& value) { return value.is(Kind::kBool) && value.as_bool(); }
bool IsFalse(const Value& value) { return value.is(Kind::kBool) && !value.as_bool(); }
bool IsInteger(const Value& value) { return value.is(Kind::kInt); }
bool IsFloat(const Value& value) { return value.is(Kind::kFloat); }
bool IsNumber(const Value& value) { return value.is_number(); }
bool IsString(const Value& value) { return value.is_string(); }
bool IsMapping(const Value& value) { return value.is(Kind::kDict); }
bool IsEscaped(const Value& value) { return value.is_markup(); }
bool IsIterable(const Value& value) { return Cursor::IsIterable(value) || value.is(Kind::kLoop); }

// What has a length and can be indexed. Undefined has both, after its fashion.
bool IsSequence(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is_sequence() ||
         value.is(Kind::kDict) || value.is(Kind::kRange);
}

bool IsCallable(const Value& value) {
  return value.is_undefined() || value.is(Kind::kFunction) || value.is(Kind::kMacro) ||
         value.is(Kind::kLoop) || value.is(Kind::kJoiner);
}

// str.islower and str.isupper: at least one cased character, and none of another case.
Result<Value> AllCased(Runtime& runtime, const Value& value, bool (*wanted)(uint32_t)) {
  MIRAGE_TRY_ASSIGN(const TextPtr text, ToText(runtime, value));
  MIRAGE_TRY(runtime.budget().StepBytes(text->size()));
  bool any = false;
  for (size_t at = 0; at < text->size();) {
    const uint32_t c = DecodeUtf8(text->bytes(), &at);
    if (wanted(c)) {
      any = true;
    } else if (IsCased(c)) {
      return Value::Bool(false);
    }
  }
  return Value::Bool(any);
}

Result<Value> TestLower(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("lower", call, {}));
  return AllCased(runtime, value, IsLower);
}

Result<Value> TestUpper(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("upper", call, {}));
  return AllCased(runtime, value, IsUpper);
}

Result<Value> RemainderIs(Runtime& runtime, const Value& value, const Value& divisor,
                          int64_t wanted) {
  MIRAGE_TRY_ASSIGN(const Value remainder, Binary(runtime, BinaryOp::kModulo, value, divisor));
  MIRAGE_TRY_ASSIGN(const bool equal, Equal(runtime, remainder, Value::Int(wanted)));
  return Value::Bool(equal);
}

Result<Value> TestOdd(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("odd", call, {}));
  return RemainderIs(runtime, value, Value::Int(2), 1);
}

Result<Value> TestEven(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("even", call, {}));
  return RemainderIs(runtime, value, Value::Int(2), 0);
}

Result<Value> TestDivisibleBy(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("divisibleby", call, {"num"}, 1));
  return RemainderIs(runtime, value, bound.At(0), 0);
}

Result<Value> TestEqual(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("eq", call, {"other"}, 1));
  MIRAGE_TRY_ASSIGN(const bool equal, Equal(runtime, value, bound.At(0)));
  return Value::Bool(equal);
}

Result<Value> TestNotEqual(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("ne", call, {"other"}, 1));
  MIRAGE_TRY_ASSIGN(const bool equal, Equal(runtime, value, bound.At(0)));
  return Value::Bool(!equal);
}

Result<Value> TestLess(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("lt", call, {"other"}, 1));
  MIRAGE_TRY_ASSIGN(const bool less, Less(runtime, value, bound.At(0), "<"));
  return Value::Bool(less);
}

Result<Value> TestGreater(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("gt", call, {"other"}, 1));
  MIRAGE_TRY_ASSIGN(const bool less, Less(runtime, bound.At(0), value, ">"));
  return Value::Bool(less);
}

Result<Value> TestLessEqual(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("le", call, {"other"}, 1));
  MIRAGE_TRY_ASSIGN(const bool less, Less(runtime, value, bound.At(0), "<="));
  MIRAGE_TRY_ASSIGN(const bool equal, Equal(runtime, value, bound.At(0)));
  return Value::Bool(less || equal);
}

Result<Value> TestGreaterEqual(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("ge", call, {"other"}, 1));
  MIRAGE_TRY_ASSIGN(const bool less, Less(runtime, bound.At(0), value, ">="));
  MIRAGE_TRY_ASSIGN(const bool equal, Equal(runtime, value, bound.At(0)));
  return Value::Bool(less || equal);
}

Result<Value> TestIn(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("in", call, {"seq"}, 1));
  MIRAGE_TRY_ASSIGN(const bool contains, Contains(runtime, bound.At(0), value));
  return Value::Bool(contains);
}

// Python's `is`: for what has no identity of its own here, being of one kind and equal.
Result<Value> TestSameAs(Runtime&, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("sameas", call, {"other"}, 1));
  const Value& other = bound.At(0);
  if (value.kind() != other.kind()) return Value::Bool(false);
  switch (value.kind()) {
    case Kind::kNone:
      return Value::Bool(true);
    case Kind::kBool:
    case Kind::kInt:
      return Value::Bool(value.as_int() == other.as_int());
    case Kind::kFloat:
      return Value::Bool(value.as_float() == other.as_float());
    default:
      return Value::Bool(value.object() == other.object());
  }
}

Status CheckHashable(const Value& value) {
  if (IsHashable(value)) return {};
  return Wrong("unhashable type: '" + std::string(TypeName(value)) + "'");
}

Result<Value> TestFilter(Runtime&, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("filter", call, {}));
  MIRAGE_TRY(CheckHashable(value));
  return Value::Bool(value.is_string() && FindFilter(value.bytes()) != nullptr);
}

Result<Value> TestTest(Runtime&, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("test", call, {}));
  MIRAGE_TRY(CheckHashable(value));
  return Value::Bool(value.is_string() && FindTest(value.bytes()) != nullptr);
}

constexpr NativeFunction kTests[] = {
    {"!=", TestNotEqual},
    {"<", TestLess},
    {"<=", TestLessEqual},
    {"==", TestEqual},
    {">", TestGreater},
    {">=", TestGreaterEqual},
    {"boolean", Plain<IsBoolean>},
    {"callable", Plain<IsCallable>},
    {"defined", Plain<IsDefined>},
    {"divisibleby", TestDivisibleBy},
    {"eq", TestEqual},
    {"equalto", TestEqual},
    {"escaped", Plain<IsEscaped>},
    {"even", TestEven},
    {"false", Plain<IsFalse>},
    {"filter", TestFilter},
    {"float", Plain<IsFloat>},
    {"ge", TestGreaterEqual},
    {"greaterthan", TestGreater},
    {"gt", TestGreater},
    {"in", TestIn},
    {"integer", Plain<IsInteger>},
    {"iterable", Plain<IsIterable>},
    {"le", TestLessEqual},
    {"lessthan", TestLess},
    {"lower", TestLower},
    {"lt", TestLess},
    {"mapping", Plain<IsMapping>},
    {"ne", TestNotEqual},
    {"none", Plain<IsNone>},
    {"number", Plain<IsNumber>},
    {"odd", TestOdd},
    {"sameas", TestSameAs},
    {"sequence", Plain<IsSequence>},
    {"string", Plain<IsString>},
    {"test", TestTest},
    {"true", Plain<IsTrue>},
    {"undefined", Plain<IsUndefined>},
    {"upper", TestUpper},
};

}  // namespace

const NativeFunction* FindTest(std::string_view name) {
  const auto* at = std::find_if(std::begin(kTests), std::end(kTests),
                                [&](const NativeFunction& test) { return test.name == name; });
  return at == std::end(kTests) ? nullptr : at;
}

}  // namespace mirage::text::jinja
