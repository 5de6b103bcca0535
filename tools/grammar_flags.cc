// SPDX-License-Identifier: Apache-2.0

#include "tools/grammar_flags.h"

#include "mirage/mirage.h"
#include "tools/failure.h"
#include "tools/input.h"

namespace mirage::cli {

Verdict CheckText(const Grammar& grammar, const std::string& text) {
  mirage_error error = MIRAGE_ERROR_INIT;
  int32_t accepted = 0;
  Verdict verdict;
  Check(mirage_grammar_check(grammar.kind, grammar.text.data(), grammar.text.size(), text.data(),
                             text.size(), &accepted, &verdict.position, &error),
        error, grammar.name);
  verdict.accepted = accepted == 1;
  return verdict;
}

void GrammarFlags::Add(CLI::App& command) {
  command.add_option("--json-schema", json_schema, "File with a JSON schema");
  command.add_option("--grammar", grammar, "File with a grammar in GBNF");
  command.add_option("--regex", regex, "Regular expression for the whole text");
}

std::optional<Grammar> GrammarFlags::Read() const {
  if ((json_schema ? 1 : 0) + (grammar ? 1 : 0) + (regex ? 1 : 0) > 1)
    throw Failure(kBadInput,
                  "give only one of --json-schema FILE, --grammar FILE and --regex TEXT");
  std::optional<Grammar> read;
  if (json_schema) read = {MIRAGE_GRAMMAR_JSON_SCHEMA, ReadFile(*json_schema), *json_schema};
  if (grammar) read = {MIRAGE_GRAMMAR_GBNF, ReadFile(*grammar), *grammar};
  if (regex) read = {MIRAGE_GRAMMAR_REGEX, *regex, "--regex"};
  if (read) (void)CheckText(*read, "");  // told before a model is loaded for it
  return read;
}

}  // namespace mirage::cli
