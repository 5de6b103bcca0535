// SPDX-License-Identifier: Apache-2.0

// Grammars, without a model.

#include "grammar/grammar.h"

#include <string>
#include <string_view>

#include "abi/guard.h"
#include "abi/handles.h"

namespace mirage::abi {
namespace {

Result<grammar::Grammar> Compile(int32_t kind, std::string_view text) {
  switch (kind) {
    case MIRAGE_GRAMMAR_GBNF:
      return grammar::Grammar::FromGbnf(text);
    case MIRAGE_GRAMMAR_REGEX:
      return grammar::Grammar::FromRegex(text);
    case MIRAGE_GRAMMAR_JSON_SCHEMA:
      return grammar::Grammar::FromJsonSchema(text);
    default:
      return Fail(Code::kUnsupported,
                  "the grammar's kind " + std::to_string(kind) + ": 1 to 3 are known");
  }
}

}  // namespace
}  // namespace mirage::abi

using namespace mirage;       // NOLINT: extern "C" functions cannot live in a namespace
using namespace mirage::abi;  // NOLINT

extern "C" {

mirage_status mirage_grammar_check(int32_t kind, const char* grammar, size_t grammar_bytes,
                                   const char* text, size_t text_bytes, int32_t* accepted,
                                   size_t* position, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    MIRAGE_TRY(CheckSpan(grammar, grammar_bytes, "grammar"));
    MIRAGE_TRY(CheckSpan(text, text_bytes, "text"));
    if (accepted == nullptr) return Fail(Code::kInvalidArgument, "accepted is NULL");
    if (position == nullptr) return Fail(Code::kInvalidArgument, "position is NULL");
    MIRAGE_TRY_ASSIGN(const mirage::grammar::Grammar compiled,
                      Compile(kind, std::string_view(grammar, grammar_bytes)));
    MIRAGE_TRY_ASSIGN(mirage::grammar::Matcher matcher, compiled.Begin());
    MIRAGE_TRY_ASSIGN(const size_t taken, matcher.Push(std::string_view(text, text_bytes)));
    *accepted = taken == text_bytes && matcher.CanEnd() ? 1 : 0;
    *position = taken;
    return {};
  });
}

}  // extern "C"
