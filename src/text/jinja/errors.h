// SPDX-License-Identifier: Apache-2.0
#pragma once

// The errors of a template, in one place so that they read alike. Messages follow Python's and
// Jinja's where those have one, since that is what a template's author will search for.

#include <string>
#include <string_view>

#include "base/result.h"

namespace mirage::text::jinja {

inline tl::unexpected<Error> Wrong(std::string message) {
  return Fail(Code::kInvalidArgument, std::move(message));
}

inline tl::unexpected<Error> Unsupported(std::string message) {
  return Fail(Code::kUnsupported, std::move(message));
}

// A named limit of limits.h was reached: "the template exceeds steps = 20000000".
inline tl::unexpected<Error> LimitReached(std::string_view limit, uint64_t bound) {
  return Fail(Code::kInvalidArgument,
              "the template exceeds " + std::string(limit) + " = " + std::to_string(bound));
}

}  // namespace mirage::text::jinja
