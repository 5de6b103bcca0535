// SPDX-License-Identifier: Apache-2.0
#pragma once

// Cursor: one walk over anything a template can iterate: the items of a list, a dict's keys, a
// string's characters. Nothing is copied; an Iterator is consumed as the walk goes.
//
// Fails to open with Python's "'int' object is not iterable". The cursor keeps what it walks alive.

#include <optional>
#include <vector>

#include "base/result.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace mirage::text::jinja {

class Cursor {
 public:
  static bool IsIterable(const Value& value);
  static Result<Cursor> Over(Runtime& runtime, const Value& iterable);

  // Moves to the next item; false at the end.
  Result<bool> Next(Value* item);

 private:
  Cursor(Runtime& runtime, const Value& iterable) : runtime_(&runtime), iterable_(iterable) {}
  Result<bool> NextCharacter(Value* item);

  Runtime* runtime_;
  Value iterable_;
  size_t at_ = 0;  // an index, or a string's byte
};

// len(); nothing for what has no length.
std::optional<int64_t> LengthOf(const Value& value);

// list(iterable)
Result<std::vector<Value>> Collect(Runtime& runtime, const Value& iterable);

// The entry of a dict that a view shows at one place.
Result<Value> ViewItem(Runtime& runtime, const DictView& view, size_t index);

}  // namespace mirage::text::jinja
