// SPDX-License-Identifier: Apache-2.0
#pragma once

// Any thread.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mirage::session {

// kInvalidArgument naming the first that is no token: "WHAT 3 is 999, outside of ...".
[[nodiscard]] inline Status CheckTokens(std::span<const int32_t> tokens, int32_t vocabulary,
                                        std::string_view what) {
  for (size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i] < 0 || tokens[i] >= vocabulary)
      return Fail(Code::kInvalidArgument,
                  std::string(what) + " " + std::to_string(i) + " is " + std::to_string(tokens[i]) +
                      ", outside of the vocabulary of " + std::to_string(vocabulary));
  return {};
}

}  // namespace mirage::session
