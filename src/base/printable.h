// SPDX-License-Identifier: Apache-2.0
#pragma once

// Printable: untrusted bytes made fit for a message or a terminal.
//
// Well-formed UTF-8 other than control characters stays as it is; every other byte appears as \n,
// \t, \\ or \xNN, so that a file cannot write escape sequences to whoever inspects it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mirage {
namespace printable {

constexpr char32_t kMalformed = 0xFFFFFFFF;

struct Utf8Char {
  char32_t code_point;
  size_t bytes;
};

// The first character of non-empty `text`; kMalformed and one byte when no well-formed sequence is
// there (Unicode table 3-7: no overlong forms, surrogates, or values past U+10FFFF).
inline Utf8Char FirstChar(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || bytes > text.size()) return {kMalformed, 1};
  char32_t code_point = lead & (0x7Fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {kMalformed, 1};
    code_point = code_point << 6 | (byte(i) & 0x3Fu);
  }
  constexpr char32_t kLeastOf[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  if (code_point < kLeastOf[bytes] || code_point > 0x10FFFF || surrogate) return {kMalformed, 1};
  return {code_point, bytes};
}

// C0, DEL, C1, and the characters that turn the direction of the text around them.
inline bool IsControl(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) ||
         (c >= 0x2066 && c <= 0x2069) || c == 0x200E || c == 0x200F;
}

inline void AppendEscaped(std::string_view bytes, std::string& out) {
  constexpr char kHex[] = "0123456789abcdef";
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    out += "\\x";
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
}

}  // namespace printable

// At most about `max_chars` bytes of output; "..." ends a text that was cut.
[[nodiscard]] inline std::string Printable(std::string_view bytes, size_t max_chars) {
  std::string out;
  while (!bytes.empty()) {
    if (out.size() >= max_chars) return out + "...";
    const printable::Utf8Char c = printable::FirstChar(bytes);
    const std::string_view text = bytes.substr(0, c.bytes);
    bytes.remove_prefix(c.bytes);
    if (c.code_point == '\n') {
      out += "\\n";
    } else if (c.code_point == '\t') {
      out += "\\t";
    } else if (c.code_point == '\\') {
      out += "\\\\";
    } else if (c.code_point == printable::kMalformed || printable::IsControl(c.code_point)) {
      printable::AppendEscaped(text, out);
    } else {
      out += text;
    }
  }
  return out;
}

// True when every byte is a printable ASCII character: what names and keys consist of.
[[nodiscard]] inline bool IsPrintableAscii(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
}

}  // namespace mirage
