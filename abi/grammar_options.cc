// SPDX-License-Identifier: Apache-2.0

#include "abi/grammar_options.h"

#include <string>

#include "abi/handles.h"

namespace mirage::abi {
namespace {

Status CheckTriggered(const mirage_generation_options& options) {
  MIRAGE_TRY(CheckFlag(options.grammar_lazy, "grammar_lazy"));
  MIRAGE_TRY(
      CheckSpan(options.grammar_triggers, options.grammar_trigger_count, "grammar_triggers"));
  MIRAGE_TRY(CheckSpan(options.grammar_trigger_tokens, options.grammar_trigger_token_count,
                       "grammar_trigger_tokens"));
  const bool triggers =
      options.grammar_trigger_count > 0 || options.grammar_trigger_token_count > 0;
  if (triggers == (options.grammar_lazy == 1)) return {};
  return Fail(Code::kInvalidArgument, triggers ? "there are grammar triggers, but grammar_lazy is 0"
                                               : "grammar_lazy is 1, but there are no triggers");
}

}  // namespace

Result<grammar::Notation> ReadNotation(int32_t kind) {
  switch (kind) {
    case MIRAGE_GRAMMAR_GBNF:
      return grammar::Notation::kGbnf;
    case MIRAGE_GRAMMAR_REGEX:
      return grammar::Notation::kRegex;
    case MIRAGE_GRAMMAR_JSON_SCHEMA:
      return grammar::Notation::kJsonSchema;
    default:
      return Fail(Code::kUnsupported,
                  "the grammar's kind " + std::to_string(kind) + ": 1 to 3 are known");
  }
}

Result<std::optional<session::GrammarOptions>> ReadGrammar(
    const mirage_generation_options& options) {
  MIRAGE_TRY(CheckSpan(options.grammar, options.grammar_bytes, "grammar"));
  MIRAGE_TRY(CheckTriggered(options));
  if (options.grammar_kind == 0) {
    if (options.grammar_bytes == 0 && options.grammar_lazy == 0) return std::nullopt;
    return Fail(Code::kInvalidArgument, "a grammar is given, but grammar_kind is 0");
  }
  session::GrammarOptions read;
  MIRAGE_TRY_ASSIGN(read.notation, ReadNotation(options.grammar_kind));
  if (options.grammar_bytes > 0) read.text.assign(options.grammar, options.grammar_bytes);
  read.lazy = options.grammar_lazy == 1;
  for (size_t i = 0; i < options.grammar_trigger_count; ++i) {
    const mirage_string& trigger = options.grammar_triggers[i];
    MIRAGE_TRY(CheckSpan(trigger.text, trigger.bytes, "a grammar trigger"));
    read.triggers.emplace_back(trigger.text != nullptr ? std::string(trigger.text, trigger.bytes)
                                                       : std::string());
  }
  read.trigger_tokens.assign(options.grammar_trigger_tokens,
                             options.grammar_trigger_tokens + options.grammar_trigger_token_count);
  return read;
}

}  // namespace mirage::abi
