// SPDX-License-Identifier: Apache-2.0
// Methods of dict, list, tuple, range and the loop variable.
#include <functional>

#include "text/jinja/arguments.h"
#include "text/jinja/compare.h"
#include "text/jinja/cursor.h"
#include "text/jinja/errors.h"
#include "text/jinja/loop.h"
#include "text/jinja/methods.h"
#include "text/jinja/runtime.h"

namespace mirage::text::jinja {
namespace {

Result<Value> DictGet(Runtime&, const Value& dict, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("get()", call, {"key", "default"}, 1));
  if (!IsHashable(bound.At(0))) {
    return Wrong("unhashable type: '" + std::string(TypeName(bound.At(0))) + "'");
  }
  if (const Value* value = dict.dict().Find(bound.At(0))) return *value;
  return bound.Get(1) == nullptr ? Value() : bound.At(1);
}

template <DictPart kPart>
Result<Value> DictViewOf(Runtime& runtime, const Value& dict, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("a dict's view", call, {}));
  return runtime.View(dict, kPart);
}

// Values never change, so a copy is the thing itself.
Result<Value> Copy(Runtime&, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("copy()", call, {}));
  return value;
}

Result<Value> Count(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("count()", call, {"value"}, 1));
  MIRAGE_TRY_ASSIGN(Cursor cursor, Cursor::Over(runtime, value));
  int64_t count = 0;
  Value item;
  while (true) {
    MIRAGE_TRY_ASSIGN(const bool more, cursor.Next(&item));
    if (!more) return Value::Int(count);
    MIRAGE_TRY_ASSIGN(const bool equal, Equal(runtime, item, bound.At(0)));
    count += equal;
  }
}

Result<Value> Index(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("index()", call, {"value", "start", "stop"}, 1));
  const int64_t length = *LengthOf(value);
  MIRAGE_TRY_ASSIGN(int64_t start, bound.Int(1, 0));
  MIRAGE_TRY_ASSIGN(int64_t stop, bound.Int(2, length));
  if (start < 0) start = start < -length ? 0 : start + length;
  if (stop < 0) stop = stop < -length ? 0 : stop + length;
  MIRAGE_TRY_ASSIGN(Cursor cursor, Cursor::Over(runtime, value));
  Value item;
  for (int64_t i = 0; i < stop; ++i) {
    MIRAGE_TRY_ASSIGN(const bool more, cursor.Next(&item));
    if (!more) break;
    if (i < start) continue;
    MIRAGE_TRY_ASSIGN(const bool equal, Equal(runtime, item, bound.At(0)));
    if (equal) return Value::Int(i);
  }
  return Wrong("the value is not in the " + std::string(TypeName(value)));
}

Result<Value> LoopCycle(Runtime&, const Value& loop, const CallArguments& call) {
  return loop.as<Loop>().Cycle(call);
}

Result<Value> LoopChanged(Runtime& runtime, const Value& loop, const CallArguments& call) {
  // The loop remembers what it is given, which may lead back to the loop.
  if (!loop.as<Loop>().remembers_changed()) {
    runtime.AtEnd([object = loop.object()] { static_cast<Loop&>(*object).ForgetChanged(); });
  }
  return loop.as<Loop>().Changed(runtime, call);
}

constexpr NativeFunction kDictMethods[] = {
    {"copy", Copy},
    {"get", DictGet},
    {"items", DictViewOf<DictPart::kItems>},
    {"keys", DictViewOf<DictPart::kKeys>},
    {"values", DictViewOf<DictPart::kValues>},
};

constexpr NativeFunction kSequenceMethods[] = {
    {"copy", Copy},
    {"count", Count},
    {"index", Index},
};

constexpr NativeFunction kLoopMethods[] = {
    {"changed", LoopChanged},
    {"cycle", LoopCycle},
};

}  // namespace

std::span<const NativeFunction> DictMethods() { return kDictMethods; }
std::span<const NativeFunction> SequenceMethods() { return kSequenceMethods; }
std::span<const NativeFunction> LoopMethods() { return kLoopMethods; }

}  // namespace mirage::text::jinja
