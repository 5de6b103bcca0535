// SPDX-License-Identifier: Apache-2.0
#pragma once

// What an option that is a whole number accepts: CLI11 by itself takes the nearest number that
// fits.

#include <CLI/CLI.hpp>
#include <charconv>
#include <limits>
#include <string>

namespace mirage::cli {

template <typename Integer>
CLI::Validator Whole(Integer least = std::numeric_limits<Integer>::min(),
                     Integer most = std::numeric_limits<Integer>::max()) {
  return CLI::Validator(
      [least, most](std::string& text) {
        Integer value = 0;
        const char* const end = text.data() + text.size();
        const auto [rest, error] = std::from_chars(text.data(), end, value);
        if (error == std::errc() && rest == end && value >= least && value <= most)
          return std::string();
        return "'" + text + "' is not a whole number from " + std::to_string(least) + " to " +
               std::to_string(most);
      },
      "");
}

}  // namespace mirage::cli
