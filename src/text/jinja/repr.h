// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a value prints as: Python's str() and repr(), with the marks of the strings inside kept.

#include <string>

#include "base/result.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace mirage::text::jinja {

// str(value)
Result<TextPtr> ToText(Runtime& runtime, const Value& value);

Status AppendStr(Runtime& runtime, const Value& value, TextBuilder* out);
Status AppendRepr(Runtime& runtime, const Value& value, TextBuilder* out);

// repr() without marks, for messages.
Result<std::string> Quoted(Runtime& runtime, const Value& value);

// repr(float): the shortest digits that read back, "1e+16" from 16 digits on, "nan", "-inf".
std::string FloatRepr(double value);

}  // namespace mirage::text::jinja
