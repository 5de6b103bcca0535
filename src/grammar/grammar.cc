// SPDX-License-Identifier: Apache-2.0
#include "grammar/grammar.h"

#include "grammar/automaton_builder.h"
#include "grammar/gbnf.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"
#include "grammar/trigger.h"

namespace mirage::grammar {

Result<Grammar> Grammar::From(Notation notation, std::string_view text, Spelling spelling) {
  switch (notation) {
    case Notation::kGbnf:
      return FromGbnf(text);
    case Notation::kJsonSchema:
      return FromJsonSchema(text, spelling);
    case Notation::kRegex:
      return FromRegex(text);
  }
  return Fail(Code::kInternal, "a notation without a name");
}

Result<Grammar> Grammar::FromGbnf(std::string_view text) {
  MIRAGE_TRY_ASSIGN(Automaton automaton, CompileGbnf(text));
  return Grammar(std::move(automaton));
}

Result<Grammar> Grammar::FromJsonSchema(std::string_view schema, Spelling spelling) {
  MIRAGE_TRY_ASSIGN(Automaton automaton, CompileJsonSchema(schema, spelling));
  return Grammar(std::move(automaton));
}

Result<Grammar> Grammar::FromRegex(std::string_view pattern) {
  MIRAGE_TRY_ASSIGN(const Dfa texts, CompileRegex(pattern, Anchoring::kWhole));
  AutomatonBuilder builder;
  MIRAGE_TRY_ASSIGN(const uint32_t start, builder.EmitRule(texts.Minimized(), Encoding::kPlain));
  MIRAGE_TRY_ASSIGN(Automaton automaton, builder.Finish(start));
  return Grammar(std::move(automaton));
}

Result<Grammar> Grammar::AfterTriggers(const std::vector<std::string>& triggers) const {
  MIRAGE_TRY_ASSIGN(Automaton automaton, AddTriggers(*automaton_, triggers));
  return Grammar(std::move(automaton));
}

}  // namespace mirage::grammar
