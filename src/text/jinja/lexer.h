// SPDX-License-Identifier: Apache-2.0
#pragma once

// The lexer: a template's text to tokens, with white space control already applied.
//
// It works as Jinja does with trim_blocks and lstrip_blocks on: the newline after a block tag goes,
// and so does the white space before one that stands first on its line; `-` strips further and `+`
// keeps. Comments and raw blocks do not reach the parser as such.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mirage::text::jinja {

enum class TokenKind : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,  // text is the literal with its quotes
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  uint32_t line = 1;
  std::string_view text;  // into the normalized source

  bool Is(TokenKind k, std::string_view t) const { return kind == k && text == t; }
  bool IsName(std::string_view name) const { return Is(TokenKind::kName, name); }
  bool IsOperator(std::string_view op) const { return Is(TokenKind::kOperator, op); }
};

// "\n" for every newline, and none at the very end: what the tokens point into.
std::string NormalizeSource(std::string_view source);

// Ends with a kEnd token. The views live as long as `source`.
Result<std::vector<Token>> Tokenize(std::string_view source);

// The value of a string literal: its escapes as in Python.
Result<std::string> DecodeString(const Token& token);

}  // namespace mirage::text::jinja
