// SPDX-License-Identifier: Apache-2.0
#pragma once

// The tables of natives, by name. Filters and tests are resolved when a template is parsed; map()
// and select() look them up while it renders.

#include <string_view>

#include "base/result.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace mirage::text::jinja {

// nullptr if there is none of the name.
const NativeFunction* FindFilter(std::string_view name);
const NativeFunction* FindTest(std::string_view name);
const NativeFunction* FindGlobal(std::string_view name);

// A method that Python's type has, mutating and unsupported ones aside.
const NativeFunction* FindMethod(const Value& receiver, std::string_view name);

// Jinja has a filter of this name and we do not: its message is another than for a misspelled one.
bool IsUnsupportedFilter(std::string_view name);

// str, dict and list methods of Python that are not here; calling one says so.
bool IsUnsupportedMethod(const Value& receiver, std::string_view name);

// joiner(): nothing the first time, the separator from then on.
Result<Value> CallJoiner(Runtime& runtime, const Value& joiner);

// cycler.current
Value CyclerCurrent(const Value& cycler);

}  // namespace mirage::text::jinja
