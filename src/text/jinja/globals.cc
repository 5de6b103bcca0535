// SPDX-License-Identifier: Apache-2.0
// The names every template has: range, dict, namespace, joiner, cycler, raise_exception,
// strftime_now.
#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/cursor.h"
#include "text/jinja/errors.h"
#include "text/jinja/methods.h"
#include "text/jinja/natives.h"
#include "text/jinja/repr.h"
#include "text/jinja/strftime.h"

namespace mirage::text::jinja {
namespace {

constexpr size_t kMaxTimeFormatBytes = 4096;

struct Cycler final : Object {
  std::vector<Value> items;
  size_t position = 0;
};

struct Joiner final : Object {
  TextPtr separator;
  bool used = false;
};

Result<Value> MakeRangeOf(Runtime& runtime, const Value&, const CallArguments& call) {
  if (!call.named.empty()) return Wrong("range() takes no keyword arguments");
  const auto& given = call.positional;
  if (given.empty() || given.size() > 3) {
    return Wrong("range expected 1 to 3 arguments, got " + std::to_string(given.size()));
  }
  for (const Value& value : given) {
    if (value.is_undefined()) return Wrong(value.undefined().message);
    if (!value.is_integral()) {
      return Wrong("'" + std::string(TypeName(value)) +
                   "' object cannot be interpreted as an integer");
    }
  }
  if (given.size() == 1) return runtime.MakeRange(0, given[0].as_int(), 1);
  return runtime.MakeRange(given[0].as_int(), given[1].as_int(),
                           given.size() == 3 ? given[2].as_int() : 1);
}

// The entries of dict(mapping or pairs, **named), and of namespace(...).
Result<Value> DictOf(Runtime& runtime, const CallArguments& call) {
  DictBuilder builder;
  if (call.positional.size() > 1) return Wrong("dict expected at most 1 argument");
  if (!call.positional.empty() && call.positional[0].is(Kind::kDict)) {
    for (const auto& [key, value] : call.positional[0].dict().entries) builder.Add(key, value);
  } else if (!call.positional.empty()) {
    MIRAGE_TRY_ASSIGN(const std::vector<Value> pairs, Collect(runtime, call.positional[0]));
    for (const Value& pair : pairs) {
      MIRAGE_TRY_ASSIGN(std::vector<Value> items, Collect(runtime, pair));
      if (items.size() != 2) return Wrong("a dict is made of pairs");
      builder.Add(std::move(items[0]), std::move(items[1]));
    }
  }
  for (const auto& [name, value, origin] : call.named) {
    MIRAGE_TRY_ASSIGN(Value key, runtime.String(name, origin));
    builder.Add(std::move(key), value);
  }
  return runtime.MakeDict(std::move(builder));
}

Result<Value> MakeDictOf(Runtime& runtime, const Value&, const CallArguments& call) {
  return DictOf(runtime, call);
}

Result<Value> MakeNamespaceOf(Runtime& runtime, const Value&, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Value members, DictOf(runtime, call));
  MIRAGE_TRY_ASSIGN(Value name_space, runtime.MakeNamespace());
  for (const auto& [name, value] : members.dict().entries) {
    if (!name.is_string()) return Wrong("attribute name must be string");
    if (!name.bytes().empty() && name.bytes().front() == '_') {
      return Wrong("a namespace cannot store the underscore-prefixed attribute '" +
                   std::string(name.bytes()) + "'");
    }
    name_space.name_space().members.emplace_back(name.bytes(), value);
  }
  return name_space;
}

Result<Value> MakeCycler(Runtime& runtime, const Value&, const CallArguments& call) {
  if (!call.named.empty()) return Wrong("cycler() takes no keyword arguments");
  if (call.positional.empty()) return Wrong("at least one item has to be provided");
  uint32_t deepest = 0;
  for (const Value& item : call.positional) deepest = std::max(deepest, item.depth());
  auto cycler = std::make_shared<Cycler>();
  MIRAGE_TRY(runtime.Adopt(cycler.get(), call.positional.size() * sizeof(Value), deepest));
  cycler->items = call.positional;
  return Value::OfObject(Kind::kCycler, std::move(cycler));
}

Result<Value> MakeJoiner(Runtime& runtime, const Value&, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("joiner()", call, {"sep"}));
  auto joiner = std::make_shared<Joiner>();
  joiner->separator = ConstantText(", ");
  if (bound.Get(0) != nullptr) {
    MIRAGE_TRY_ASSIGN(joiner->separator, ToText(runtime, bound.At(0)));
  }
  MIRAGE_TRY(runtime.Adopt(joiner.get(), 0, 0));
  return Value::OfObject(Kind::kJoiner, std::move(joiner));
}

Result<Value> CyclerNext(Runtime&, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("next()", call, {}));
  auto& cycler = value.as<Cycler>();
  const Value item = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return item;
}

Result<Value> CyclerReset(Runtime&, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("reset()", call, {}));
  value.as<Cycler>().position = 0;
  return Value();
}

Result<Value> RaiseException(Runtime& runtime, const Value&, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("raise_exception()", call, {"message"}, 1));
  MIRAGE_TRY_ASSIGN(const TextPtr message, ToText(runtime, bound.At(0)));
  return Fail(Code::kRefused, std::string(message->bytes()));
}

Result<Value> StrftimeNow(Runtime& runtime, const Value&, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("strftime_now()", call, {"format"}, 1));
  MIRAGE_TRY_ASSIGN(const TextPtr format, bound.String(0));
  if (format->size() > kMaxTimeFormatBytes) {
    return LimitReached("a time format's bytes", kMaxTimeFormatBytes);
  }
  MIRAGE_TRY_ASSIGN(const std::string text, FormatTime(format->bytes(), runtime.now_seconds()));
  // The format may be the conversation's, or hold some of it; then so is what comes of it.
  return runtime.String(text, format->StrictestOrigin());
}

Result<Value> Lipsum(Runtime&, const Value&, const CallArguments&) {
  return Unsupported("lipsum() is random and not supported");
}

constexpr NativeFunction kGlobals[] = {
    {"cycler", MakeCycler}, {"dict", MakeDictOf},           {"joiner", MakeJoiner},
    {"lipsum", Lipsum},     {"namespace", MakeNamespaceOf}, {"raise_exception", RaiseException},
    {"range", MakeRangeOf}, {"strftime_now", StrftimeNow},
};

constexpr NativeFunction kCyclerMethods[] = {
    {"next", CyclerNext},
    {"reset", CyclerReset},
};

}  // namespace

const NativeFunction* FindGlobal(std::string_view name) {
  const auto* at = std::find_if(std::begin(kGlobals), std::end(kGlobals),
                                [&](const NativeFunction& global) { return global.name == name; });
  return at == std::end(kGlobals) ? nullptr : at;
}

std::span<const NativeFunction> CyclerMethods() { return kCyclerMethods; }

Value CyclerCurrent(const Value& cycler) {
  const auto& state = cycler.as<const Cycler>();
  return state.items[state.position];
}

Result<Value> CallJoiner(Runtime& runtime, const Value& value) {
  auto& joiner = value.as<Joiner>();
  if (!std::exchange(joiner.used, true)) return runtime.String("");
  return Value::String(joiner.separator);
}

}  // namespace mirage::text::jinja
