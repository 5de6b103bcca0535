// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/attributes.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "text/jinja/errors.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/loop.h"
#include "text/jinja/natives.h"
#include "text/jinja/repr.h"

namespace mirage::text::jinja {
namespace {

template <size_t kCount>
bool Has(const std::array<std::string_view, kCount>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The methods that the immutable sandbox hides.
bool IsForbidden(const Value& object, std::string_view name) {
  static constexpr std::array<std::string_view, 8> kList = {"append", "clear",  "extend",  "insert",
                                                            "pop",    "remove", "reverse", "sort"};
  static constexpr std::array<std::string_view, 5> kDict = {"clear", "pop", "popitem", "setdefault",
                                                            "update"};
  if (name.size() > 4 && name.substr(0, 2) == "__" && name.substr(name.size() - 2) == "__") {
    return true;
  }
  return (object.is(Kind::kList) && Has(kList, name)) ||
         (object.is(Kind::kDict) && Has(kDict, name));
}

Result<Value> CallUnsupported(Runtime&, const Value&, const CallArguments&) {
  return Unsupported("this method is not supported");
}

Result<std::optional<Value>> MacroAttribute(Runtime& runtime, const Macro& macro,
                                            std::string_view name) {
  if (name == "catch_kwargs") return std::optional<Value>(Value::Bool(macro.code->uses_kwargs));
  if (name == "catch_varargs") return std::optional<Value>(Value::Bool(macro.code->uses_varargs));
  if (name == "caller") return std::optional<Value>(Value::Bool(macro.code->uses_caller));
  if (name == "name") {
    if (macro.code->name.empty()) return std::optional<Value>(Value());
    MIRAGE_TRY_ASSIGN(Value text, runtime.String(macro.code->name));
    return std::optional<Value>(std::move(text));
  }
  if (name != "arguments") return std::optional<Value>();
  std::vector<Value> names;
  for (const auto& parameter : macro.code->parameters) {
    MIRAGE_TRY_ASSIGN(Value text, runtime.String(parameter.name));
    names.push_back(std::move(text));
  }
  MIRAGE_TRY_ASSIGN(Value arguments, runtime.Tuple(std::move(names)));
  return std::optional<Value>(std::move(arguments));
}

// The attribute proper, if there is one.
Result<std::optional<Value>> FindAttribute(Runtime& runtime, const Value& object,
                                           std::string_view name) {
  const auto found = [](Value value) { return std::optional<Value>(std::move(value)); };
  if (IsForbidden(object, name)) {
    MIRAGE_TRY_ASSIGN(Value hidden,
                      runtime.MakeUndefined("access to attribute '" + std::string(name) + "' of '" +
                                            std::string(TypeName(object)) + "' object is unsafe."));
    return found(std::move(hidden));
  }
  if (const NativeFunction* method = FindMethod(object, name)) {
    MIRAGE_TRY_ASSIGN(Value bound, runtime.MakeFunction(*method, object));
    return found(std::move(bound));
  }
  if (IsUnsupportedMethod(object, name)) {
    MIRAGE_TRY_ASSIGN(Value bound, runtime.MakeFunction({"unsupported", CallUnsupported}, object));
    return found(std::move(bound));
  }
  if (object.is(Kind::kNamespace)) {
    if (const Value* member = object.name_space().Find(name)) return found(*member);
  } else if (object.is(Kind::kLoop)) {
    return object.as<Loop>().Attribute(runtime, name);
  } else if (object.is(Kind::kCycler)) {
    if (name == "current") return found(CyclerCurrent(object));
  } else if (object.is(Kind::kMacro)) {
    return MacroAttribute(runtime, object.as<const Macro>(), name);
  } else if (object.is(Kind::kTuple) && object.sequence().is_group) {
    if (name == "grouper") return found(object.items()[0]);
    if (name == "list") return found(object.items()[1]);
  }
  return std::optional<Value>();
}

// object[key], if there is such an element.
Result<std::optional<Value>> FindElement(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is(Kind::kDict)) {
    const Value* value = IsHashable(key) ? object.dict().Find(key) : nullptr;
    return value == nullptr ? std::optional<Value>() : std::optional<Value>(*value);
  }
  const bool indexable = object.is_sequence() || object.is_string() || object.is(Kind::kRange);
  if (!indexable || !key.is_integral()) return std::optional<Value>();
  const int64_t length = object.is_string()     ? static_cast<int64_t>(object.text().code_points())
                         : object.is_sequence() ? static_cast<int64_t>(object.items().size())
                                                : object.range().count;
  int64_t index = key.as_int();
  if (index < 0) index += length;
  if (index < 0 || index >= length) return std::optional<Value>();
  if (object.is_sequence()) {
    return std::optional<Value>(object.items()[static_cast<size_t>(index)]);
  }
  if (object.is(Kind::kRange)) return std::optional<Value>(Value::Int(object.range().At(index)));
  const Text& text = object.text();
  MIRAGE_TRY(runtime.budget().StepBytes(text.WalkBytes()));
  const size_t begin = text.ByteOffset(static_cast<size_t>(index));
  size_t end = begin + 1;
  while (end < text.size() && (static_cast<unsigned char>(text.bytes()[end]) & 0xC0) == 0x80) ++end;
  MIRAGE_TRY_ASSIGN(TextPtr character, Slice(runtime.budget(), text, begin, end));
  return std::optional<Value>(Value::String(std::move(character), object.is_markup()));
}

}  // namespace

Result<Value> GetAttribute(Runtime& runtime, const Value& object, const Value& name) {
  if (object.is_undefined()) return Wrong(object.undefined().message);
  MIRAGE_TRY_ASSIGN(std::optional<Value> attribute, FindAttribute(runtime, object, name.bytes()));
  if (attribute) return std::move(*attribute);
  MIRAGE_TRY_ASSIGN(std::optional<Value> element, FindElement(runtime, object, name));
  if (element) return std::move(*element);
  return runtime.MissingElement(object, name);
}

Result<Value> GetItem(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) return Wrong(object.undefined().message);
  MIRAGE_TRY_ASSIGN(std::optional<Value> element, FindElement(runtime, object, key));
  if (element) return std::move(*element);
  if (key.is_string()) {
    MIRAGE_TRY_ASSIGN(std::optional<Value> attribute, FindAttribute(runtime, object, key.bytes()));
    if (attribute) return std::move(*attribute);
  }
  return runtime.MissingElement(object, key);
}

Result<AttributePath> AttributePath::Parse(Runtime& runtime, const Value* attribute) {
  AttributePath path;
  if (attribute == nullptr || attribute->is_none()) return path;
  if (!attribute->is_string()) {
    path.steps_.push_back(*attribute);
    return path;
  }
  const std::string_view text = attribute->bytes();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    int64_t index = 0;
    const auto parsed = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool is_index = !part.empty() && part[0] != '-' && parsed.ec == std::errc() &&
                          parsed.ptr == part.data() + part.size();
    if (is_index) {
      path.steps_.push_back(Value::Int(index));
    } else {
      MIRAGE_TRY_ASSIGN(Value name, runtime.String(part));
      path.steps_.push_back(std::move(name));
    }
    begin = end + 1;
  }
  return path;
}

Result<Value> AttributePath::Get(Runtime& runtime, const Value& item, const Value* fallback) const {
  Value value = item;
  for (const Value& step : steps_) {
    MIRAGE_TRY(runtime.Step());
    MIRAGE_TRY_ASSIGN(value, GetItem(runtime, value, step));
    if (fallback != nullptr && value.is_undefined()) value = *fallback;
  }
  return value;
}

}  // namespace mirage::text::jinja
