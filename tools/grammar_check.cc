// SPDX-License-Identifier: Apache-2.0

// mirage grammar-check: whether a grammar allows a text.

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <memory>
#include <string>

#include "tools/command.h"
#include "tools/failure.h"
#include "tools/input.h"

namespace mirage::cli {
namespace {

struct GrammarCheckFlags {
  std::string json_schema;
  std::string grammar;
  std::string regex;
  std::string text;
  bool has_regex = false;  // an empty one is one
};

int GrammarCheck(const GrammarCheckFlags& flags) {
  const int given = (flags.json_schema.empty() ? 0 : 1) + (flags.grammar.empty() ? 0 : 1) +
                    (flags.has_regex ? 1 : 0);
  if (given != 1)
    throw Failure(kBadInput, "give one of --json-schema FILE, --grammar FILE and --regex TEXT");
  int32_t kind = MIRAGE_GRAMMAR_REGEX;
  std::string grammar = flags.regex, name = "--regex";
  if (!flags.has_regex) {
    kind = flags.grammar.empty() ? MIRAGE_GRAMMAR_JSON_SCHEMA : MIRAGE_GRAMMAR_GBNF;
    name = flags.grammar.empty() ? flags.json_schema : flags.grammar;
    grammar = ReadFile(name);
  }
  mirage_error error = MIRAGE_ERROR_INIT;
  int32_t accepted = 0;
  size_t position = 0;
  Check(mirage_grammar_check(kind, grammar.data(), grammar.size(), flags.text.data(),
                             flags.text.size(), &accepted, &position, &error),
        error, name);
  if (accepted == 1) {
    WriteStandardOutput("accepted\n");
    return kDone;
  }
  WriteStandardOutput(position == flags.text.size()
                          ? "rejected: the text ends too early\n"
                          : fmt::format("rejected at byte {}\n", position));
  return kNegative;
}

}  // namespace

void AddGrammarCheck(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<GrammarCheckFlags>();
  CLI::App* command = AddCommand(
      app, chosen, "grammar-check",
      "Whether a grammar allows a text: exit code 0 if it does, 1 if not", flags, GrammarCheck);
  command->add_option("--json-schema", flags->json_schema, "File with a JSON schema");
  command->add_option("--grammar", flags->grammar, "File with a grammar in GBNF");
  command->add_option_function<std::string>(
      "--regex",
      [flags](const std::string& regex) {
        flags->regex = regex;
        flags->has_regex = true;
      },
      "Regular expression for the whole text");
  command->add_option("--text", flags->text, "The text")->required();
}

}  // namespace mirage::cli
