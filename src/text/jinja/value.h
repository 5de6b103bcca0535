// SPDX-License-Identifier: Apache-2.0
#pragma once

// Value: one value of a template, as Python would have it. Small, cheap to copy, immutable but for
// the few objects that Python lets a template change (a namespace, an iterator's position, a
// cycler, a joiner).
//
// Lists and dicts are never changed in place: the sandbox forbids it. Dicts keep the order of
// insertion. The predicates and accessors are for exactly the kind they name; nothing converts.
//
// A render's values belong to its thread; those of a parsed template may be shared by any.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/jinja/object.h"
#include "text/jinja/text.h"

namespace mirage::text::jinja {

class Value;
struct Undefined;
struct Sequence;
struct Dict;
struct DictView;
struct Range;
struct Iterator;
struct Namespace;
struct Function;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kDictView,  // d.keys(), d.values(), d.items()
  kRange,
  kIterator,  // what a generator or reversed() gives: read once
  kNamespace,
  kFunction,  // a global, or a method with its receiver
  kMacro,     // interpreter.h
  kLoop,      // loop.h
  kCycler,    // globals.cc
  kJoiner,    // globals.cc
};

class Value {
 public:
  Value() = default;  // None
  static Value Bool(bool value) {
    Value v(Kind::kBool);
    v.bool_ = value;
    return v;
  }
  static Value Int(int64_t value) {
    Value v(Kind::kInt);
    v.int_ = value;
    return v;
  }
  static Value Float(double value) {
    Value v(Kind::kFloat);
    v.float_ = value;
    return v;
  }
  // A markup string is Python's Markup: it escapes for HTML what is added to it.
  static Value String(TextPtr text, bool markup = false) {
    Value v(Kind::kString);
    v.markup_ = markup;
    v.object_ = std::const_pointer_cast<Text>(std::move(text));
    return v;
  }
  static Value OfObject(Kind kind, std::shared_ptr<Object> object) {
    Value v(kind);
    v.object_ = std::move(object);
    return v;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_sequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }
  bool is_integral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
  bool is_number() const { return is_integral() || kind_ == Kind::kFloat; }
  bool is_markup() const { return kind_ == Kind::kString && markup_; }

  bool as_bool() const { return bool_; }
  int64_t as_int() const { return kind_ == Kind::kBool ? int64_t{bool_} : int_; }  // integral
  double as_float() const { return kind_ == Kind::kFloat ? float_ : static_cast<double>(as_int()); }
  const Text& text() const { return as<const Text>(); }
  TextPtr text_ptr() const { return std::static_pointer_cast<const Text>(object_); }
  std::string_view bytes() const { return text().bytes(); }
  const Undefined& undefined() const { return as<const Undefined>(); }
  const std::vector<Value>& items() const;  // of a list or tuple
  const Sequence& sequence() const { return as<const Sequence>(); }
  const Dict& dict() const { return as<const Dict>(); }
  const DictView& view() const { return as<const DictView>(); }
  const Range& range() const { return as<const Range>(); }
  Iterator& iterator() const { return as<Iterator>(); }
  Namespace& name_space() const { return as<Namespace>(); }
  const Function& function() const { return as<const Function>(); }
  template <typename T>
  T& as() const {
    return static_cast<T&>(*object_);
  }

  const std::shared_ptr<Object>& object() const { return object_; }
  uint32_t depth() const { return object_ == nullptr ? 0 : object_->depth; }

 private:
  explicit Value(Kind kind) : kind_(kind) {}

  Kind kind_ = Kind::kNone;
  bool markup_ = false;
  union {
    bool bool_;
    int64_t int_ = 0;
    double float_;
  };
  std::shared_ptr<Object> object_;
};

// What a missing thing evaluates to. It prints as nothing, is false and empty; the rest is an error
// whose message says what was missing.
struct Undefined final : Object {
  std::string message;
};

struct Sequence final : Object {
  std::vector<Value> items;
  bool is_group = false;  // a tuple of groupby: (grouper, list) by name as well
};

struct Dict final : Object {
  std::vector<std::pair<Value, Value>> entries;  // in the order of insertion
  std::vector<uint32_t> order;                   // entries sorted by key; empty for small dicts

  const Value* Find(const Value& key) const;  // key is hashable
  const Value* Find(std::string_view key) const;
};

enum class DictPart : uint8_t { kKeys, kValues, kItems };

struct DictView final : Object {
  Value dict;
  DictPart part = DictPart::kKeys;
};

struct Range final : Object {
  int64_t start = 0, stop = 0, step = 1, count = 0;
  int64_t At(int64_t index) const { return start + index * step; }
};

struct Iterator final : Object {
  std::vector<Value> items;
  size_t next = 0;
  std::string_view type_name = "generator";
};

struct Namespace final : Object {
  std::vector<std::pair<std::string, Value>> members;
  Value* Find(std::string_view name);
};

class Runtime;
struct CallArguments;

// A filter, a test, a method or a global: all take the value they are applied to and the call's
// arguments.
using NativeCall = Result<Value> (*)(Runtime& runtime, const Value& subject,
                                     const CallArguments& arguments);

struct NativeFunction {
  std::string_view name;
  NativeCall call;
};

struct Function final : Object {
  NativeFunction native;
  Value receiver;
};

// Python's name of the value's type: "str", "dict", "dict_keys".
std::string_view TypeName(const Value& value);

// Whether Python's hash() takes it: what may be a dict's key.
bool IsHashable(const Value& value);

// A total order of hashable values in which Python's equal keys are equal (1, 1.0 and True are).
int CompareKeys(const Value& left, const Value& right);

struct KeyLess {
  bool operator()(const Value& left, const Value& right) const {
    return CompareKeys(left, right) < 0;
  }
};

}  // namespace mirage::text::jinja
