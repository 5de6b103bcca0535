// SPDX-License-Identifier: Apache-2.0
#pragma once

// What commands read: files and standard input, whole.

#include <string>

#include "tools/failure.h"

namespace mirage::cli {

// kBadInput when there is no such file or it is longer than any text may be, kOther when it cannot
// be read.
[[nodiscard]] std::string ReadFile(const std::string& path);
[[nodiscard]] std::string ReadStandardInput();

// Why reading `name` failed, as errno tells: kBadInput for a folder, else kOther.
[[nodiscard]] Failure ReadFailure(const std::string& name);

// Writes all of it, or kOther: a full disk must not look like success.
void WriteStandardOutput(const std::string& text);

}  // namespace mirage::cli
