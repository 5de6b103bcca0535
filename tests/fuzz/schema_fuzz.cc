// SPDX-License-Identifier: Apache-2.0

// Any bytes as a JSON schema: an Error with a message, or a grammar whose texts are JSON.
//
// An input is a schema, and after a byte 0xFF, if there is one, a text.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "grammar/grammar.h"
#include "grammar_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  using namespace mirage::grammar;  // NOLINT
  const std::string_view input(reinterpret_cast<const char*>(data), bytes);
  const size_t border = input.find('\xFF');
  const std::string_view text =
      border == std::string_view::npos ? std::string_view() : input.substr(border + 1);
  const std::string_view schema = input.substr(0, border);
  const bool any = CheckGrammar(Grammar::FromJsonSchema(schema), text);
  if (any) mirage::Require(nlohmann::json::accept(text), "a text of a schema is JSON");
  if (CheckGrammar(Grammar::FromJsonSchema(schema, Spelling::kBounded), text))
    mirage::Require(any, "bounded white space is white space");
  return 0;
}
