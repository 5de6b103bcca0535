// SPDX-License-Identifier: Apache-2.0
#pragma once

// TokenMasks: which tokens of a vocabulary a grammar allows next, for any text that it can follow.
//
// A mask is what a walk through the vocabulary's trie allows. The matchers that walks come by are
// numbered, and where a byte leads from one is found once and then looked up, as a regular
// expression is made deterministic while it is used (R. Cox, Regular Expression Matching in the
// Wild, 2010). Where all plain text is taken, plain tokens are not walked through. Masks whose walk
// was long all the same are kept by their matcher: within a string, say, each token leads back to
// where it came from.
//
// What is kept is bounded by the bytes asked for, and dropped whole when it passes them; masks do
// not depend on it. Any thread: one at a time is served.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/bit_set.h"
#include "base/result.h"
#include "grammar/grammar.h"
#include "grammar/token_trie.h"

namespace mirage::grammar {

class TokenMasks {
 public:
  static constexpr size_t kMostKeptBytes = size_t{4} << 20;
  static constexpr size_t kLeastKeptBytes = size_t{64} << 10;

  TokenMasks(Grammar grammar, std::shared_ptr<const TokenTrie> trie,
             size_t kept_bytes = kMostKeptBytes);

  [[nodiscard]] const Grammar& grammar() const { return grammar_; }
  [[nodiscard]] const TokenTrie& trie() const { return *trie_; }

  // The tokens with text, [token_count], after which `matcher`, one of this grammar's, could go on
  // or end: pushed as a whole they are taken. `drop_space`: as in TokenTrie::Walk. A token for
  // which the matcher would fail is none of them. kUnsupported when it takes too much work, as may
  // be where tokens can be read in hundreds of ways.
  [[nodiscard]] Result<std::shared_ptr<const BitSet>> After(const Matcher& matcher,
                                                            bool drop_space);

 private:
  static constexpr uint64_t kMostWork = 20'000'000;  // some tenths of a second
  static constexpr uint32_t kUnknown = UINT32_MAX;
  static constexpr uint32_t kNowhere = UINT32_MAX - 1;

  struct HashOf {
    size_t operator()(const Matcher& matcher) const { return matcher.Hash(); }
  };

  void FindClasses(const Automaton& automaton);
  // All with mutex_ held.
  [[nodiscard]] uint32_t NumberOf(const Matcher& matcher);
  // The number after `byte`, or kNowhere; kUnknown when there is no room for more matchers or too
  // much work was done.
  [[nodiscard]] uint32_t Next(uint32_t number, uint8_t byte) {
    const uint32_t next = next_[number * class_member_.size() + class_of_[byte]];
    return next == kUnknown ? Follow(number, byte) : next;
  }
  [[nodiscard]] uint32_t Follow(uint32_t number, uint8_t byte);
  [[nodiscard]] bool Overflows() const { return kept_bytes_ > most_kept_bytes_ + kLeastKeptBytes; }
  [[nodiscard]] bool Exhausted() const { return work_ > kMostWork; }
  [[nodiscard]] std::shared_ptr<const BitSet> Walk(const Matcher& matcher, bool drop_space,
                                                   size_t* steps);
  // Whether all plain text is taken from here on.
  [[nodiscard]] bool TakesPlainText(uint32_t number, size_t* steps);
  // Nothing when it comes by more matchers than may be kept.
  [[nodiscard]] std::shared_ptr<BitSet> WalkNumbers(const Matcher& begin, bool drop_space,
                                                    size_t* steps);
  // Keeps none, and takes its time.
  [[nodiscard]] std::shared_ptr<BitSet> WalkMatchers(const Matcher& begin, bool drop_space);
  void Forget();

  const Grammar grammar_;
  const std::shared_ptr<const TokenTrie> trie_;
  const size_t most_kept_bytes_;
  // Where names of objects must differ, every spelling is a matcher of its own. There walks are
  // made as if they need not, and what they allow is looked at again; null elsewhere.
  std::shared_ptr<const Automaton> relaxed_;
  std::array<uint8_t, 256> class_of_{};  // bytes that no state tells apart
  std::vector<uint8_t> class_member_;

  std::mutex mutex_;
  std::unordered_map<Matcher, uint32_t, HashOf> numbers_;
  std::vector<const Matcher*> matchers_;  // by number; the keys above
  std::vector<uint32_t> next_;            // [number][class]
  std::unordered_map<Matcher, std::shared_ptr<const BitSet>, HashOf> masks_;
  size_t kept_bytes_ = 0;
  uint64_t work_ = 0;  // as Matcher::Push counts it, for the mask that is being found
};

}  // namespace mirage::grammar
