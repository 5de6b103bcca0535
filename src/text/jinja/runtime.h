// SPDX-License-Identifier: Apache-2.0
#pragma once

// Runtime: what natives may use while a template renders: the budget, the clock, and the making of
// values.
//
// Every value made here is charged to the budget. Objects that can form cycles (namespaces, scopes
// of macros) are kept to the end and then emptied, so that reference counts free everything. One
// thread at a time.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace mirage::text::jinja {

// Keeps the first position of a key and the last of its values, as a Python dict does.
class DictBuilder {
 public:
  void Add(Value key, Value value) { entries_.emplace_back(std::move(key), std::move(value)); }
  void Reserve(size_t count) { entries_.reserve(count); }

 private:
  friend class Runtime;
  std::vector<std::pair<Value, Value>> entries_;
};

class Runtime {
 public:
  // `now_seconds` is the Unix time that strftime_now formats, as UTC.
  Runtime(const Limits& limits, int64_t now_seconds) : budget_(limits), now_seconds_(now_seconds) {}
  ~Runtime();

  Budget& budget() { return budget_; }
  const Limits& limits() const { return budget_.limits(); }
  Status Step(uint64_t count = 1) { return budget_.Step(count); }
  int64_t now_seconds() const { return now_seconds_; }

  Result<Value> String(std::string_view bytes, Origin origin = Origin::kTemplate);
  Result<Value> List(std::vector<Value> items);
  Result<Value> Tuple(std::vector<Value> items);
  Result<Value> Group(Value grouper, Value list);  // a tuple with names
  Result<Value> MakeDict(DictBuilder builder);     // fails on an unhashable key
  Result<Value> View(Value dict, DictPart part);
  Result<Value> MakeRange(int64_t start, int64_t stop, int64_t step);
  Result<Value> MakeIterator(std::vector<Value> items, std::string_view type_name = "generator");
  Result<Value> MakeNamespace();
  Result<Value> MakeFunction(const NativeFunction& native, Value receiver);
  Result<Value> MakeUndefined(std::string message);
  // "'dict object' has no attribute 'x'"; key is a string or an index
  Result<Value> MissingElement(const Value& object, const Value& key);

  // Charges an object made elsewhere and bounds its depth.
  Status Adopt(Object* object, uint64_t payload_bytes, uint32_t child_depth);

  // Held by a native that calls natives; Check fails when they are too deep.
  class NativeLevel {
   public:
    explicit NativeLevel(Runtime& runtime) : runtime_(runtime) { ++runtime_.native_depth_; }
    ~NativeLevel() { --runtime_.native_depth_; }
    NativeLevel(const NativeLevel&) = delete;
    NativeLevel& operator=(const NativeLevel&) = delete;
    Status Check() const;

   private:
    Runtime& runtime_;
  };

  // `empty` is called at the render's end, before anything is destroyed.
  void AtEnd(std::function<void()> empty) { at_end_.push_back(std::move(empty)); }

 private:
  Result<Value> MakeSequence(Kind kind, std::vector<Value> items, bool is_group);

  Budget budget_;
  int64_t now_seconds_;
  size_t native_depth_ = 0;
  std::vector<std::function<void()>> at_end_;
};

struct NamedArgument {
  std::string name;
  Value value;
  Origin origin = Origin::kTemplate;  // of the name: `**mapping` may bring the input's
};

// The arguments of one call: `f(1, 2, key=3)`.
struct CallArguments {
  std::vector<Value> positional;
  std::vector<NamedArgument> named;

  const Value* FindNamed(std::string_view name) const;
};

}  // namespace mirage::text::jinja
