// SPDX-License-Identifier: Apache-2.0
#pragma once

// x.name and x[key] as Jinja's sandbox resolves them: an attribute wins over a key for the dot, a
// key over an attribute for the bracket. So `tool.items` is the method even if the dict has such a
// key.
//
// What is not there is an Undefined; so is what the sandbox forbids (methods that change a list or
// dict, and names with underscores), with a message that says so.

#include <vector>

#include "base/result.h"
#include "text/jinja/runtime.h"

namespace mirage::text::jinja {

Result<Value> GetAttribute(Runtime& runtime, const Value& object, const Value& name);
Result<Value> GetItem(Runtime& runtime, const Value& object, const Value& key);

// How map(attribute=...), sort and groupby read an item: "a.b.0", an index, or None for the item
// itself.
class AttributePath {
 public:
  static Result<AttributePath> Parse(Runtime& runtime, const Value* attribute);

  // `fallback`, if not nullptr, stands for each step that is undefined.
  Result<Value> Get(Runtime& runtime, const Value& item, const Value* fallback = nullptr) const;

 private:
  std::vector<Value> steps_;
};

}  // namespace mirage::text::jinja
