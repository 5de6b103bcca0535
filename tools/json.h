// SPDX-License-Identifier: Apache-2.0
#pragma once

// JSON as the commands read and write it.

#include <nlohmann/json.hpp>
#include <string>

namespace mirage::cli {

using Json = nlohmann::ordered_json;  // keys stay in the order they were written

// One line; text that is not UTF-8 becomes U+FFFD.
inline std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace mirage::cli
