// SPDX-License-Identifier: Apache-2.0
#pragma once

// The tools that a model may call, from a file in OpenAI's form.

#include <optional>
#include <string>

#include "mirage/mirage.h"

namespace mirage::cli {

inline constexpr const char* kAboutTools =
    "JSON file of tools that the model may call, as OpenAI writes them";

// A JSON array of tools: {"type": "function", "function": {"name", "description", "parameters"}}.
// kBadInput naming the file. Nothing for no path.
[[nodiscard]] std::optional<std::string> ReadTools(const std::optional<std::string>& path);

// For all answers of the session.
void AppendTools(mirage_session* session, const std::string& tools);

}  // namespace mirage::cli
