// SPDX-License-Identifier: Apache-2.0

#include "tools/tools_file.h"

#include "tools/failure.h"
#include "tools/input.h"
#include "tools/json.h"

namespace mirage::cli {

std::optional<std::string> ReadTools(const std::optional<std::string>& path) {
  if (!path) return std::nullopt;
  std::string tools = ReadFile(*path);
  // The library takes any JSON for its templates; what reads answers says what tools are.
  mirage_parse_options options;
  mirage_parse_options_init(&options, sizeof options);
  options.answer_format = MIRAGE_ANSWER_HERMES;
  options.tools = tools.data();
  options.tools_bytes = tools.size();
  mirage_error error = MIRAGE_ERROR_INIT;
  size_t bytes = 0;
  Check(mirage_parse_answer(nullptr, &options, "", 0, nullptr, 0, &bytes, &error), error, *path);
  // "" and null are no tools to it; a file of them is a mistake.
  if (!Json::parse(tools, nullptr, false).is_array())
    throw Failure(kBadInput, *path + ": the tools are not a JSON array");
  return tools;
}

void AppendTools(mirage_session* session, const std::string& tools) {
  mirage_error error = MIRAGE_ERROR_INIT;
  const std::string json = "{\"tools\":" + tools + "}";
  Check(mirage_session_append_conversation(session, json.data(), json.size(), &error), error,
        "--tools");
}

}  // namespace mirage::cli
