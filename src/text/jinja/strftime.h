// SPDX-License-Identifier: Apache-2.0
#pragma once

// strftime in the C locale and UTC, from a given time and never the machine's.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mirage::text::jinja {

// The directives of C99 that print a date or time, %f (microseconds, always 000000), and the flags
// `-`, `_` and `0` of glibc. %z and %Z are empty, as for Python's naive datetime.
Result<std::string> FormatTime(std::string_view format, int64_t unix_seconds);

}  // namespace mirage::text::jinja
