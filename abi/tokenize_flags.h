// SPDX-License-Identifier: Apache-2.0
#pragma once

// MIRAGE_TOKENIZE_x as the tokenizer's options.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "mirage/mirage.h"
#include "text/tokenizer.h"

namespace mirage::abi {

inline Result<text::EncodeOptions> ReadTokenizeFlags(uint32_t flags) {
  constexpr uint32_t kKnown = MIRAGE_TOKENIZE_ADD_SPECIAL | MIRAGE_TOKENIZE_PARSE_SPECIAL;
  if ((flags & ~kKnown) != 0)
    return Fail(Code::kUnsupported, "tokenize flags " + std::to_string(flags) + ": only " +
                                        std::to_string(kKnown) + " is known");
  text::EncodeOptions options;
  options.add_special = (flags & MIRAGE_TOKENIZE_ADD_SPECIAL) != 0;
  options.parse_special = (flags & MIRAGE_TOKENIZE_PARSE_SPECIAL) != 0;
  return options;
}

}  // namespace mirage::abi
