// SPDX-License-Identifier: Apache-2.0
#pragma once

// Grammar: which texts are allowed, compiled once from one of its notations. Shared and immutable:
// any thread. A Matcher follows one text through it.

#include <memory>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "grammar/matcher.h"

namespace mirage::grammar {

class Grammar {
 public:
  [[nodiscard]] static Result<Grammar> FromGbnf(std::string_view text);
  // JSON that is valid by the schema; nothing, where no value is.
  [[nodiscard]] static Result<Grammar> FromJsonSchema(std::string_view schema);
  // The whole text must match.
  [[nodiscard]] static Result<Grammar> FromRegex(std::string_view pattern);

  [[nodiscard]] Result<Matcher> Begin() const { return Matcher::Begin(automaton_); }

 private:
  explicit Grammar(Automaton automaton)
      : automaton_(std::make_shared<const Automaton>(std::move(automaton))) {}
  std::shared_ptr<const Automaton> automaton_;
};

}  // namespace mirage::grammar
