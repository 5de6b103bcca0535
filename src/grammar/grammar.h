// SPDX-License-Identifier: Apache-2.0
#pragma once

// Grammar: which texts are allowed, compiled once from one of its notations. Shared and immutable:
// any thread. A Matcher follows one text through it.

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "grammar/json_schema.h"
#include "grammar/matcher.h"

namespace mirage::grammar {

enum class Notation { kGbnf, kJsonSchema, kRegex };

class Grammar {
 public:
  // `spelling` is for JSON schemas.
  [[nodiscard]] static Result<Grammar> From(Notation notation, std::string_view text,
                                            Spelling spelling);
  [[nodiscard]] static Result<Grammar> FromGbnf(std::string_view text);
  // JSON that is valid by the schema; nothing, where no value is.
  [[nodiscard]] static Result<Grammar> FromJsonSchema(std::string_view schema,
                                                      Spelling spelling = Spelling::kAny);
  // The whole text must match.
  [[nodiscard]] static Result<Grammar> FromRegex(std::string_view pattern);

  // Free text, and after the first of `triggers` in it, one of this grammar. Without triggers the
  // caller says where that begins (BeginTriggered). kInvalidArgument: see grammar/trigger.h.
  [[nodiscard]] Result<Grammar> AfterTriggers(const std::vector<std::string>& triggers) const;

  [[nodiscard]] Result<Matcher> Begin() const { return Matcher::Begin(automaton_); }
  // Where a trigger leads to; the beginning, where there are none.
  [[nodiscard]] Result<Matcher> BeginTriggered() const {
    return automaton_->triggered == kNoState ? Begin()
                                             : Matcher::Begin(automaton_, automaton_->triggered);
  }
  [[nodiscard]] const Automaton& automaton() const { return *automaton_; }

 private:
  explicit Grammar(Automaton automaton)
      : automaton_(std::make_shared<const Automaton>(std::move(automaton))) {}
  std::shared_ptr<const Automaton> automaton_;
};

}  // namespace mirage::grammar
