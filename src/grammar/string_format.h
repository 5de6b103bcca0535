// SPDX-License-Identifier: Apache-2.0
#pragma once

// The texts of a JSON schema's `format`: date, time, date-time (RFC 3339), uuid, email, ipv4,
// ipv6, uri (RFC 3986). Any thread.

#include <string_view>

#include "base/result.h"
#include "grammar/dfa.h"

namespace mirage::grammar {

// kUnsupported for a format that is not known.
[[nodiscard]] Result<Dfa> StringFormat(std::string_view name);

}  // namespace mirage::grammar
