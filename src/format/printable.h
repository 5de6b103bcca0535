// SPDX-License-Identifier: Apache-2.0
#pragma once

// Printable: untrusted bytes made fit for a message or a terminal.
//
// Well-formed UTF-8 other than control characters stays as it is; every other byte appears as \n,
// \t, \\ or \xNN, so that a file cannot write escape sequences to whoever inspects it.

#include <cstddef>
#include <string>
#include <string_view>

namespace mirage::format {

// At most about `max_chars` bytes of output; "..." ends a text that was cut.
[[nodiscard]] std::string Printable(std::string_view bytes, size_t max_chars);

// True when every byte is a printable ASCII character: what names and keys consist of.
[[nodiscard]] bool IsPrintableAscii(std::string_view bytes);

}  // namespace mirage::format
