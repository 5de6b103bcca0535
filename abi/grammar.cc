// SPDX-License-Identifier: Apache-2.0

// Grammars, without a model.

#include "grammar/grammar.h"

#include <string>
#include <string_view>

#include "abi/grammar_options.h"
#include "abi/guard.h"
#include "abi/handles.h"
#include "session/deep.h"

namespace mirage::abi {
namespace {

Status CheckText(int32_t kind, std::string_view grammar, std::string_view text, int32_t* accepted,
                 size_t* position) {
  MIRAGE_TRY_ASSIGN(const grammar::Notation notation, ReadNotation(kind));
  MIRAGE_TRY_ASSIGN(const grammar::Grammar compiled,
                    grammar::Grammar::From(notation, grammar, grammar::Spelling::kAny));
  MIRAGE_TRY_ASSIGN(grammar::Matcher matcher, compiled.Begin());
  MIRAGE_TRY_ASSIGN(const size_t taken, matcher.Push(text));
  *accepted = taken == text.size() && matcher.CanEnd() ? 1 : 0;
  *position = taken;
  return {};
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
    MIRAGE_TRY(CheckPointer(accepted, "accepted"));
    MIRAGE_TRY(CheckPointer(position, "position"));
    // Groups and schemas nest deeper than a caller's stack may allow.
    return session::Deep([&] {
      return CheckText(kind, std::string_view(grammar, grammar_bytes),
                       std::string_view(text, text_bytes), accepted, position);
    });
  });
}

}  // extern "C"
