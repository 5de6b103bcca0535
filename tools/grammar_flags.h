// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which texts are allowed, as options name it: --json-schema FILE, --grammar FILE, --regex TEXT.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

namespace mirage::cli {

struct Grammar {
  int32_t kind = 0;  // MIRAGE_GRAMMAR_x
  std::string text;
  std::string name;  // for messages: the file, or the option
};

// Whether `text` is allowed, and if not, from which byte on. kBadInput for what is no grammar.
struct Verdict {
  bool accepted = false;
  size_t position = 0;
};
[[nodiscard]] Verdict CheckText(const Grammar& grammar, const std::string& text);

struct GrammarFlags {
  std::optional<std::string> json_schema, grammar, regex;

  void Add(CLI::App& command);
  // With its file read; nothing when none is given. kBadInput for several, or for one that is none.
  [[nodiscard]] std::optional<Grammar> Read() const;
};

}  // namespace mirage::cli
