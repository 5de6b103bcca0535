// SPDX-License-Identifier: Apache-2.0
#pragma once

// What must hold of every grammar, whatever it was made from.

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "grammar/grammar.h"
#include "grammar/token_masks.h"
#include "tests/fuzz/require.h"

namespace mirage::grammar {

// Some byte is allowed, or the text may end: no way leads to where nothing goes on.
inline bool GoesOn(const Matcher& matcher) {
  if (matcher.CanEnd()) return true;
  for (int byte = 0; byte < 256; ++byte)
    if (matcher.Accepts(static_cast<uint8_t>(byte))) return true;
  return false;
}

// A mask is what pushing each token says.
inline void CheckMask(const Grammar& grammar, const Matcher& matcher) {
  static constexpr std::array<std::string_view, 24> kTokens = {
      "{\"", "\": ", "\"}",  "],", "[]",   "true", "null", "12",   "-1.5", "e3", "a",    "ab",
      "é",   "\xC3", "\xA9", "日", " the", "\\n",  "\\u0", "\n  ", "\"",   "\\", "T00:", " "};
  static const auto trie = std::make_shared<const TokenTrie>(
      kTokens.size(), [](int32_t token) { return kTokens[static_cast<size_t>(token)]; });
  TokenMasks masks(grammar, trie, 0);
  const Result<std::shared_ptr<const BitSet>> mask = masks.After(matcher, false);
  if (!mask) {
    Require(mask.error().code == Code::kUnsupported, "a mask is found, or takes too much work");
    return;
  }
  for (size_t token = 0; token < kTokens.size(); ++token) {
    Matcher copy = matcher;
    const Result<size_t> taken = copy.Push(kTokens[token]);
    Require((*mask)->Has(token) == (taken && *taken == kTokens[token].size()),
            "a mask allows what is taken");
  }
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
  for (size_t i = 0; i < text.size(); ++i) {
    if (i % 16 == 0) CheckMask(*grammar, *matcher);
    const auto byte = static_cast<uint8_t>(text[i]);
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
  CheckMask(*grammar, *matcher);
  return matcher->CanEnd();
}

}  // namespace mirage::grammar
