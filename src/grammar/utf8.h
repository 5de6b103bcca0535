// SPDX-License-Identifier: Apache-2.0
#pragma once

// Text as code points, for compilers of expressions. Ill-formed UTF-8 has no code points.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "text/unicode.h"

namespace mirage::grammar {

[[nodiscard]] inline std::optional<std::u32string> CodePoints(std::string_view utf8) {
  if (text::RepairUtf8(utf8)) return std::nullopt;
  std::u32string out;
  for (size_t at = 0; at < utf8.size();) out.push_back(text::DecodeUtf8(utf8, &at));
  return out;
}

[[nodiscard]] inline std::string Utf8(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) text::AppendUtf8(c, &out);
  return out;
}

}  // namespace mirage::grammar
