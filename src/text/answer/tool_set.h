// SPDX-License-Identifier: Apache-2.0
#pragma once

// ToolSet: what is known of the tools that an answer may call.
//
// Read from the JSON that chat templates are given: [{"type": "function", "function": {"name",
// "parameters": {"properties": {...}}}}, ...]; the object in "function" may also stand alone.
// Immutable: any thread.

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mirage::text {

class ToolSet {
 public:
  static constexpr size_t kMostBytes = size_t{1} << 20;  // of the JSON; nested kMostDepth deep
  static constexpr size_t kMostDepth = 48;

  // Any name may be a tool.
  ToolSet() = default;
  // kInvalidArgument for what is not a JSON array of objects with names, or beyond the bounds
  // above; the message says which. Numbers of any size pass that JSON's readers take. "null" and ""
  // are no tools.
  [[nodiscard]] static Result<ToolSet> Read(std::string_view json);

  [[nodiscard]] bool empty() const { return tools_.empty(); }
  [[nodiscard]] bool MayBe(std::string_view name) const {
    return tools_.empty() || tools_.find(name) != tools_.end();
  }
  // Whether a parameter's value is a string whatever it looks like.
  [[nodiscard]] bool TakesString(std::string_view tool, std::string_view parameter) const;

 private:
  using Parameters = std::map<std::string, bool, std::less<>>;  // name: takes a string
  std::map<std::string, Parameters, std::less<>> tools_;
};

}  // namespace mirage::text
