// SPDX-License-Identifier: Apache-2.0
#pragma once

// Constraint: which tokens an answer may be made of, compiled by a room that knows text.
//
// It follows the answer token by token. Called on the engine thread, which never takes a token
// back: guesses are held against it without being taken. What it throws or fails with ends the
// request.

#include <cstdint>
#include <span>
#include <vector>

#include "base/bit_set.h"
#include "base/result.h"

namespace mirage::engine {

class Constraint {
 public:
  virtual ~Constraint() = default;

  // The tokens that may come next; stop tokens are among them where the answer may end. Valid until
  // the next call.
  [[nodiscard]] virtual Result<const BitSet*> Allowed() = 0;
  // `token`, one of these, comes next. True when nothing but a stop token may follow.
  [[nodiscard]] virtual Result<bool> Push(int32_t token) = 0;

  // How many of `tokens` it would allow, one after the other.
  [[nodiscard]] virtual int64_t CountAllowed(std::span<const int32_t> tokens) const = 0;
  // At most `count` tokens of which the text that must come now may be made; none where there is a
  // choice.
  [[nodiscard]] virtual std::vector<int32_t> Forced(int64_t count) const = 0;
};

}  // namespace mirage::engine
