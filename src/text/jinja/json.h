// SPDX-License-Identifier: Apache-2.0
#pragma once

// JSON in and out: the input of a render becomes values, and tojson writes as Python's json.dumps.
//
// Reading marks strings, keys too, with the origin it is told. It refuses what the values cannot
// hold: integers beyond 64 bits, bad UTF-8, deep nesting. A key that comes twice keeps its first
// place and its last value.

#include <functional>
#include <string_view>

#include "base/result.h"
#include "text/jinja/runtime.h"

namespace mirage::text::jinja {

// `origin_of(key)` says the origin of what stands under a key of the outermost object, key
// included.
Result<Value> ReadJson(Runtime& runtime, std::string_view json,
                       const std::function<Origin(std::string_view)>& origin_of);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  TextPtr indent;          // what one level is indented by; absent: all on one line
  TextPtr item_separator;  // absent: ", ", or "," with an indent
  TextPtr key_separator;   // absent: ": "
};

Result<TextPtr> WriteJson(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace mirage::text::jinja
