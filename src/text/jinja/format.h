// SPDX-License-Identifier: Apache-2.0
#pragma once

// Python's two ways to format: '%s' % value, and '{}'.format(value). Marks of strings that are put
// in are kept.
//
// Not here: '#' with floats, ',' and '_' grouping beyond decimal integers and fixed floats, 'n',
// and formatting by objects of their own.

#include "base/result.h"
#include "text/jinja/runtime.h"

namespace mirage::text::jinja {

// format % arguments, where arguments may be a tuple, a dict or one value.
Result<Value> FormatPercent(Runtime& runtime, const Value& format, const Value& arguments);

// format.format(*positional, **named)
Result<Value> FormatBraces(Runtime& runtime, const Value& format, const CallArguments& arguments);

}  // namespace mirage::text::jinja
