// SPDX-License-Identifier: Apache-2.0

// Any bytes as a regular expression: an Error with a message, or a set of texts whose complement is
// its complement.
//
// An input is a pattern, and after a byte 0xFF, if there is one, a text.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "grammar/regex.h"
#include "grammar/utf8.h"
#include "tests/fuzz/require.h"

namespace mirage::grammar {
namespace {

void Check(std::string_view pattern, const std::u32string& text, Anchoring anchoring) {
  const Result<Dfa> dfa = CompileRegex(pattern, anchoring);
  if (!dfa) {
    Require(dfa.error().code == Code::kInvalidArgument || dfa.error().code == Code::kUnsupported,
            "a pattern's error is the caller's mistake or names what is not supported");
    Require(!dfa.error().message.empty(), "an error has a message");
    return;
  }
  Require(dfa->states().size() <= Dfa::kMaxStates + 1, "a set has at most kMaxStates states");
  const Dfa rest = dfa->Not();
  Require(dfa->Matches(text) != rest.Matches(text), "a text is in a set or in its complement");
  if (dfa->states().size() > 500) return;  // the product would only take time
  const Result<Dfa> both = dfa->And(rest);
  Require(both && both->empty(), "a set and its complement share no text");
}

}  // namespace
}  // namespace mirage::grammar

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  const std::string_view input(reinterpret_cast<const char*>(data), bytes);
  const size_t border = input.find('\xFF');
  std::optional<std::u32string> text;
  if (border != std::string_view::npos)
    text = mirage::grammar::CodePoints(input.substr(border + 1));
  for (const auto anchoring :
       {mirage::grammar::Anchoring::kWhole, mirage::grammar::Anchoring::kSearch})
    mirage::grammar::Check(input.substr(0, border), text.value_or(U""), anchoring);
  return 0;
}
