// SPDX-License-Identifier: Apache-2.0
#pragma once

// Grammars: those a model's answers are held to, compiled for its vocabulary.
//
// The vocabulary's trie is made with the first. The grammars asked for last are remembered, with
// the masks that were found: an application asks for the same few again and again, and compiling a
// schema may take as long as several tokens.
//
// Any thread.

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "grammar/token_masks.h"
#include "memory/ledger.h"
#include "session/runtime.h"
#include "text/tokenizer.h"

namespace mirage::session {

struct GrammarOptions {
  grammar::Notation notation = grammar::Notation::kGbnf;
  std::string text;
  bool lazy = false;  // free text comes first, up to a trigger
  std::vector<std::string> triggers;
  std::vector<int32_t> trigger_tokens;
  bool operator==(const GrammarOptions&) const = default;
};

class Grammars {
 public:
  static constexpr size_t kMostRemembered = 4;

  Grammars(Runtime& runtime, std::shared_ptr<const text::Tokenizer> tokenizer);

  // kInvalidArgument and kUnsupported say where in the grammar; kOutOfMemory.
  [[nodiscard]] Result<std::shared_ptr<grammar::TokenMasks>> Compile(const GrammarOptions& options);

  // What the ledger must hold beforehand for a vocabulary's trie and small grammars.
  [[nodiscard]] static uint64_t ReservedBytes(const text::Tokenizer& tokenizer);

 private:
  struct Compiled;
  struct Entry {
    GrammarOptions options;
    std::shared_ptr<Compiled> compiled;
  };

  [[nodiscard]] Result<std::shared_ptr<Compiled>> CompileNew(const GrammarOptions& options);
  // Of what was reserved, or else of the runtime's ledger.
  [[nodiscard]] Result<memory::Holding> Take(uint64_t bytes);

  Runtime& runtime_;
  const std::shared_ptr<const text::Tokenizer> tokenizer_;
  const std::shared_ptr<memory::Ledger> reserved_;  // what is left for small grammars
  std::mutex mutex_;
  std::shared_ptr<const grammar::TokenTrie> trie_;
  std::list<Entry> entries_;  // last used first
};

}  // namespace mirage::session
