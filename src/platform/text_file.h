// SPDX-License-Identifier: Apache-2.0
#pragma once

// The small text files in which the kernel tells about itself: /proc, /sys, cgroups.
//
// Their sizes are not known before reading. Tests give a folder of their own as the root below
// which they lie.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mirage::platform {

// The first MiB of a file, or nothing when it cannot be read.
[[nodiscard]] std::optional<std::string> ReadText(const std::string& path);

// A file holding one decimal number and nothing else but white space.
[[nodiscard]] std::optional<uint64_t> ReadNumber(const std::string& path);

// The number at the start of `text`; nothing when there is none or it does not fit.
[[nodiscard]] std::optional<uint64_t> ParseNumber(std::string_view text);

// Pieces between separators, empty ones left out.
[[nodiscard]] std::vector<std::string_view> Split(std::string_view text, char separator);

// The rest of the first line "<key><white space or colon><value>", from the value on.
[[nodiscard]] std::optional<std::string_view> FindValue(std::string_view text,
                                                        std::string_view key);

// The number that such a line's value begins with.
[[nodiscard]] std::optional<uint64_t> FindNumber(std::string_view text, std::string_view key);

// The numbers of a list such as "0-3,8", ascending as the kernel writes it; none where it is
// malformed or names more than any machine has of anything.
[[nodiscard]] std::vector<int> ParseList(std::string_view text);

}  // namespace mirage::platform
