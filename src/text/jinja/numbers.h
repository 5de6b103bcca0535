// SPDX-License-Identifier: Apache-2.0
#pragma once

// Python's int("...") and float("..."): white space around, underscores between digits, signs.
// ASCII digits only.

#include <cstdint>
#include <optional>
#include <string_view>

namespace mirage::text::jinja {

struct ParsedInt {
  bool is_number = false;  // the text is an integer literal
  bool fits = false;       // and fits 64 bits: then `value` is it
  int64_t value = 0;
};

// base is 0 or 2 to 36; 0 takes it from the prefix.
ParsedInt ParseInt(std::string_view text, int base);

std::optional<double> ParseFloat(std::string_view text);

}  // namespace mirage::text::jinja
