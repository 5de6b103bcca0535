// SPDX-License-Identifier: Apache-2.0

#include "session/grammars.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "session/deep.h"

namespace mirage::session {
namespace {

constexpr uint64_t kReservedBytes = uint64_t{1} << 20;  // besides the trie's

Result<grammar::Grammar> CompileText(const GrammarOptions& options) {
  // Groups and schemas nest deeper than a caller's stack may allow.
  return Deep([&]() -> Result<grammar::Grammar> {
    MIRAGE_TRY_ASSIGN(
        grammar::Grammar compiled,
        grammar::Grammar::From(options.notation, options.text, grammar::Spelling::kBounded));
    if (!options.lazy) return compiled;
    return compiled.AfterTriggers(options.triggers);
  });
}

}  // namespace

struct Grammars::Compiled {
  std::shared_ptr<memory::Ledger> reserved;  // outlives what was taken of it
  memory::Holding bytes;
  memory::Holding kept_bytes;
  std::optional<grammar::TokenMasks> masks;
};

Grammars::Grammars(Runtime& runtime, std::shared_ptr<const text::Tokenizer> tokenizer)
    : runtime_(runtime),
      tokenizer_(std::move(tokenizer)),
      reserved_(std::make_shared<memory::Ledger>(kReservedBytes)) {}

uint64_t Grammars::ReservedBytes(const text::Tokenizer& tokenizer) {
  size_t text_bytes = 0;
  for (int32_t token = 0; tokenizer.has_token(token); ++token)
    text_bytes += tokenizer.TokenText(token).size();
  return kReservedBytes + grammar::TokenTrie::BytesFor(tokenizer.token_count(), text_bytes);
}

Result<std::shared_ptr<grammar::TokenMasks>> Grammars::Compile(const GrammarOptions& options) {
  const std::lock_guard lock(mutex_);
  auto found = std::find_if(entries_.begin(), entries_.end(),
                            [&](const Entry& entry) { return entry.options == options; });
  if (found == entries_.end()) {
    MIRAGE_TRY_ASSIGN(std::shared_ptr<Compiled> compiled, CompileNew(options));
    entries_.push_front({options, std::move(compiled)});
    found = entries_.begin();
    if (entries_.size() > kMostRemembered) entries_.pop_back();
  }
  entries_.splice(entries_.begin(), entries_, found);
  return std::shared_ptr<grammar::TokenMasks>(found->compiled, &*found->compiled->masks);
}

Result<std::shared_ptr<Grammars::Compiled>> Grammars::CompileNew(const GrammarOptions& options) {
  MIRAGE_TRY_ASSIGN(grammar::Grammar compiled, CompileText(options));
  if (trie_ == nullptr)
    trie_ = std::make_shared<const grammar::TokenTrie>(
        tokenizer_->token_count(), [tokenizer = tokenizer_](int32_t token) {
          return tokenizer->is_control(token) ? std::string_view() : tokenizer->TokenText(token);
        });
  auto made = std::make_shared<Compiled>();
  made->reserved = reserved_;
  MIRAGE_TRY_ASSIGN(made->bytes, Take(compiled.automaton().heap_bytes() + options.text.size() +
                                      grammar::TokenMasks::kLeastKeptBytes));
  // Masks that are not kept are found again: what is not to be had is no failure.
  constexpr uint64_t kWanted = grammar::TokenMasks::kMostKeptBytes;
  const uint64_t kept = std::min(kWanted, runtime_.ledger().available() / 8);
  if (Result<memory::Holding> held = memory::Holding::Take(
          runtime_.ledger(), memory::Owner::kTables, kept, "masks of a grammar"))
    made->kept_bytes = *std::move(held);
  made->masks.emplace(std::move(compiled), trie_, made->kept_bytes.bytes());
  return made;
}

Result<memory::Holding> Grammars::Take(uint64_t bytes) {
  constexpr auto kOwner = memory::Owner::kTables;
  constexpr const char* kWhat = "a grammar";
  const auto reserved = [&] { return memory::Holding::Take(*reserved_, kOwner, bytes, kWhat); };
  if (Result<memory::Holding> held = reserved()) return held;
  entries_.clear();
  if (Result<memory::Holding> held = reserved()) return held;
  runtime_.MakeAvailable(bytes);
  Result<memory::Holding> held = memory::Holding::Take(runtime_.ledger(), kOwner, bytes, kWhat);
  if (!held) return Fail(runtime_.AsLimit(std::move(held).error()));
  return held;
}

}  // namespace mirage::session
