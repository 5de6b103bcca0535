// SPDX-License-Identifier: Apache-2.0
#pragma once

// What Python's str methods do, on Text: marks go along with the characters they belong to, and a
// character that an operation adds is the template's unless it stands for one of the input's (an
// escape, a changed case).
//
// Positions are bytes here. Every operation counts steps for the bytes it touches.

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/jinja/text.h"

namespace mirage::text::jinja {

// The byte of the first `pattern` at or after `from`, or npos.
size_t FindBytes(std::string_view text, std::string_view pattern, size_t from = 0);

enum class Case : uint8_t { kLower, kUpper, kTitle, kCapitalize, kSwap };

Result<TextPtr> ChangeCase(Budget& budget, const Text& text, Case to);

// Jinja's title filter: a word begins after white space or one of -({[< only.
Result<TextPtr> TitleWords(Budget& budget, const Text& text);

enum class Side : uint8_t { kLeft, kRight, kBoth };

// Strips the characters of `chars`, or white space.
Result<TextPtr> Strip(Budget& budget, const Text& text, const Text* chars, Side side);

// At most `max_splits` cuts, any number if negative; from the right if `from_right`. A null
// separator splits at runs of white space. An empty separator is an error.
Result<std::vector<TextPtr>> Split(Budget& budget, const Text& text, const Text* separator,
                                   int64_t max_splits, bool from_right);

Result<std::vector<TextPtr>> SplitLines(Budget& budget, const Text& text, bool keep_ends);

// At most `max_count` replacements, any number if negative.
Result<TextPtr> Replace(Budget& budget, const Text& text, const Text& from, const Text& to,
                        int64_t max_count);

Result<TextPtr> Repeat(Budget& budget, const Text& text, int64_t count);

// Pads to `width` characters with copies of the one character `fill`.
enum class Align : uint8_t { kLeft, kRight, kCenter };
Result<TextPtr> Pad(Budget& budget, const Text& text, int64_t width, const Text& fill, Align align);

Result<TextPtr> Join(Budget& budget, const Text& separator, const std::vector<TextPtr>& parts);

Result<TextPtr> Reverse(Budget& budget, const Text& text);

// & < > ' " as HTML entities.
Result<TextPtr> EscapeHtml(Budget& budget, const Text& text);

}  // namespace mirage::text::jinja
