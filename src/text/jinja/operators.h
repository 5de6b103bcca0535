// SPDX-License-Identifier: Apache-2.0
#pragma once

// Arithmetic and subscription, as Python's operators. Integers are 64 bits wide; what does not fit
// is an error where Python would grow. A markup string escapes the plain one that is added to it.

#include "base/result.h"
#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace mirage::text::jinja {

Result<Value> Binary(Runtime& runtime, BinaryOp op, const Value& left, const Value& right);
Result<Value> Unary(Runtime& runtime, UnaryOp op, const Value& operand);  // kNegate, kPlus

// object[start:stop:step]; nullptr stands for an omitted part.
Result<Value> TakeSlice(Runtime& runtime, const Value& object, const Value* start,
                        const Value* stop, const Value* step);

// round(value, digits) of a float, halves to even on the exact value.
double RoundHalfEven(double value, int64_t digits);

}  // namespace mirage::text::jinja
