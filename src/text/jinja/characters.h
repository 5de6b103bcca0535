// SPDX-License-Identifier: Apache-2.0
#pragma once

// What Python's str knows about characters, for templates: UTF-8 steps, white space, case,
// printability.
//
// The tables answer as CPython 3.11 does (Unicode 14). Case mapping is full (one character may
// become up to three) but context-free: a capital sigma at the end of a word lowers to the medial
// form.
//
// These are not the tables of text/unicode.h, which answer as the tokenizers do. Pure functions;
// any thread.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/unicode.h"  // DecodeUtf8, PreviousUtf8, AppendUtf8

namespace mirage::text::jinja {

// The offset of the first byte that is not UTF-8 (surrogates and overlong forms are not), or npos.
size_t FindInvalidUtf8(std::string_view text);

size_t CountCodePoints(std::string_view text);

// A case mapping's result: 1 to 3 code points.
struct CaseMapping {
  uint32_t points[3] = {};
  int count = 0;
};
CaseMapping ToLower(uint32_t code_point);
CaseMapping ToUpper(uint32_t code_point);
CaseMapping ToTitle(uint32_t code_point);

bool IsSpace(uint32_t code_point);
bool IsPrintable(uint32_t code_point);
bool IsAlpha(uint32_t code_point);
bool IsDecimal(uint32_t code_point);
bool IsDigit(uint32_t code_point);
bool IsNumeric(uint32_t code_point);
bool IsLower(uint32_t code_point);
bool IsUpper(uint32_t code_point);
bool IsTitle(uint32_t code_point);  // title case proper, such as U+01C5
inline bool IsCased(uint32_t c) { return IsLower(c) || IsUpper(c) || IsTitle(c); }

// The line boundaries of str.splitlines.
bool IsLineBreak(uint32_t code_point);

}  // namespace mirage::text::jinja
