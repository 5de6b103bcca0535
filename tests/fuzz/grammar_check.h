// SPDX-License-Identifier: Apache-2.0
#pragma once

// What must hold of every grammar, whatever it was made from.

#include <cstdint>
#include <string_view>

#include "grammar/grammar.h"
#include "tests/fuzz/require.h"

namespace mirage::grammar {

// Some byte is allowed, or the text may end: no way leads to where nothing goes on.
inline bool GoesOn(const Matcher& matcher) {
  if (matcher.CanEnd()) return true;
  for (int byte = 0; byte < 256; ++byte)
    if (matcher.Accepts(static_cast<uint8_t>(byte))) return true;
  return false;
}

// Whether the whole text is allowed.
inline bool CheckGrammar(const Result<Grammar>& grammar, std::string_view text) {
  if (!grammar) {
    const Code code = grammar.error().code;
    Require(code == Code::kInvalidArgument || code == Code::kUnsupported,
            "an error is the caller's mistake or names what is not supported");
    Require(!grammar.error().message.empty(), "an error has a message");
    return false;
  }
  Result<Matcher> matcher = grammar->Begin();
  if (!matcher) {
    Require(matcher.error().code == Code::kUnsupported, "a grammar is followed, or is too wide");
    return false;
  }
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    const bool accepts = matcher->Accepts(byte);
    const Result<bool> taken = matcher->Push(byte);
    if (!taken) {
      Require(taken.error().code == Code::kUnsupported, "a text is followed, or read too widely");
      return false;
    }
    Require(*taken == accepts, "what is accepted is taken");
    if (!accepts) return false;
    Require(GoesOn(*matcher), "a way leads on from every byte");
  }
  return matcher->CanEnd();
}

}  // namespace mirage::grammar
