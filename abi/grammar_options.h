// SPDX-License-Identifier: Apache-2.0
#pragma once

// Grammars as a caller names them.

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "grammar/grammar.h"
#include "mirage/mirage.h"
#include "session/grammars.h"

namespace mirage::abi {

// kUnsupported for a number that is not MIRAGE_GRAMMAR_x.
[[nodiscard]] Result<grammar::Notation> ReadNotation(int32_t kind);

// The grammar_x fields; nothing when the answer is held to none.
[[nodiscard]] Result<std::optional<session::GrammarOptions>> ReadGrammar(
    const mirage_generation_options& options);

}  // namespace mirage::abi
