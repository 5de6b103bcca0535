// SPDX-License-Identifier: Apache-2.0
#pragma once

// How values compare, as Python's operators do: truth, equality, order, membership, stable sorting.
//
// Everything that walks values counts steps: two values may share parts so often that comparing
// them would never end.

#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace mirage::text::jinja {

bool Truthy(const Value& value);

// <0, 0 or >0 of two numbers, exact between int and float. Neither is NaN.
int CompareNumbers(const Value& left, const Value& right);

Result<bool> Equal(Runtime& runtime, const Value& left, const Value& right);

// Whether left < right; `op` ("<", ">=") is for the message when the types have no order.
Result<bool> Less(Runtime& runtime, const Value& left, const Value& right, std::string_view op);

// needle in haystack; reads an iterator up to the match.
Result<bool> Contains(Runtime& runtime, const Value& haystack, const Value& needle);

// The stable order of `keys` as indices into it. Fails where Less does.
Result<std::vector<size_t>> SortedOrder(Runtime& runtime, const std::vector<Value>& keys,
                                        bool reverse);

}  // namespace mirage::text::jinja
