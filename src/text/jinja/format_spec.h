// SPDX-License-Identifier: Apache-2.0
#pragma once

// FormatSpec: how one value is to be printed, whichever of the two notations asked for it.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "text/jinja/text.h"

namespace mirage::text::jinja {

inline constexpr int64_t kMaxFormatPrecision = 1000;

struct FormatSpec {
  std::string fill = " ";  // one character
  Origin fill_origin = Origin::kTemplate;
  char align = '\0';       // '<' '>' '^' '=', or the type's own
  char sign = '-';         // '-' '+' ' '
  bool alternate = false;  // '#': the prefix 0x, 0o, 0b
  char grouping = '\0';    // ',' or '_'
  int64_t width = 0;
  int64_t precision = -1;  // -1: not given
  char type = '\0';
};

// Each gives the padded text. Numbers are the template's text; a string keeps its marks.
Result<TextPtr> FormatText(Budget& budget, const FormatSpec& spec, const Text& text);
Result<TextPtr> FormatInteger(Budget& budget, const FormatSpec& spec, int64_t value);
Result<TextPtr> FormatFloat(Budget& budget, const FormatSpec& spec, double value);

}  // namespace mirage::text::jinja
