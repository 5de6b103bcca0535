// SPDX-License-Identifier: Apache-2.0
#pragma once

// GrammarConstraint: holds an answer to a grammar, token by token.
//
// Tokens count as the bytes that they add to the answer's text. Control tokens and others without
// text are allowed in free text alone, before a trigger; stop tokens, whatever their text, exactly
// where the answer may end.
//
// One thread at a time.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bit_set.h"
#include "base/result.h"
#include "engine/constraint.h"
#include "grammar/token_masks.h"

namespace mirage::session {

struct ConstraintOptions {
  std::vector<int32_t> stop_tokens;
  std::vector<int32_t> trigger_tokens;  // in free text, end it
  size_t vocabulary = 0;                // rows of logits; there may be more than tokens
  bool drop_space = false;              // the answer's text loses a space that it begins with
};

class GrammarConstraint final : public engine::Constraint {
 public:
  // kInvalidArgument when the grammar allows no text, kUnsupported as for a Matcher.
  [[nodiscard]] static Result<std::unique_ptr<GrammarConstraint>> Create(
      std::shared_ptr<grammar::TokenMasks> masks, ConstraintOptions options);

  [[nodiscard]] Result<const BitSet*> Allowed() override;
  [[nodiscard]] Result<bool> Push(int32_t token) override;
  [[nodiscard]] int64_t CountAllowed(std::span<const int32_t> tokens) const override;
  [[nodiscard]] std::vector<int32_t> Forced(int64_t count) const override;

 private:
  struct Place {
    grammar::Matcher matcher;
    bool drop_space = false;  // of the text to come
  };

  GrammarConstraint(std::shared_ptr<grammar::TokenMasks> masks, ConstraintOptions options,
                    grammar::Matcher begin, grammar::Matcher triggered);
  // Takes a token if it is allowed there.
  [[nodiscard]] Result<bool> Take(int32_t token, Place* place) const;

  const std::shared_ptr<grammar::TokenMasks> masks_;
  const ConstraintOptions options_;
  const grammar::Matcher triggered_;  // after a trigger token
  Place place_;
  BitSet allowed_;
};

}  // namespace mirage::session
