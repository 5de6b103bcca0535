// SPDX-License-Identifier: Apache-2.0

// mirage grammar-check: whether a grammar allows a text.

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <memory>
#include <string>

#include "tools/command.h"
#include "tools/failure.h"
#include "tools/grammar_flags.h"
#include "tools/input.h"

namespace mirage::cli {
namespace {

struct GrammarCheckFlags {
  GrammarFlags grammar;
  std::string text;
};

int GrammarCheck(const GrammarCheckFlags& flags) {
  const std::optional<Grammar> grammar = flags.grammar.Read();
  if (!grammar)
    throw Failure(kBadInput, "give one of --json-schema FILE, --grammar FILE and --regex TEXT");
  const Verdict verdict = CheckText(*grammar, flags.text);
  if (verdict.accepted) {
    WriteStandardOutput("accepted\n");
    return kDone;
  }
  WriteStandardOutput(verdict.position == flags.text.size()
                          ? "rejected: the text ends too early\n"
                          : fmt::format("rejected at byte {}\n", verdict.position));
  return kNegative;
}

}  // namespace

void AddGrammarCheck(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<GrammarCheckFlags>();
  CLI::App* command = AddCommand(
      app, chosen, "grammar-check",
      "Whether a grammar allows a text: exit code 0 if it does, 1 if not", flags, GrammarCheck);
  flags->grammar.Add(*command);
  command->add_option("--text", flags->text, "The text")->required();
}

}  // namespace mirage::cli
