// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the operating system said, as an Error.

#include <cerrno>
#include <string>
#include <system_error>

#include "base/result.h"

namespace mirage::platform {

[[nodiscard]] inline std::string OsMessage(int error) {
  return std::generic_category().message(error);
}

// "what: No such file or directory". `error` is an errno.
[[nodiscard]] inline Error OsError(const std::string& what, int error) {
  const bool nothing_there =
      error == ENOENT || error == ENOTDIR || error == ELOOP || error == ENAMETOOLONG;
  const Code code = nothing_there     ? Code::kNotFound
                    : error == ENOMEM ? Code::kOutOfMemory
                                      : Code::kIo;
  return Error{code, what + ": " + OsMessage(error), 0, 0};
}

}  // namespace mirage::platform
