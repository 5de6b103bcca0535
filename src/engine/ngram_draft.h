// SPDX-License-Identifier: Apache-2.0
#pragma once

// NgramDraft: guesses the next tokens of a sequence from its own past.
//
// Where the newest tokens occurred before, what followed them then is a good guess of what follows
// now: in code, quotations, edits and tables it is right for many tokens in a row (prompt lookup
// decoding; A. Saxena, 2023, https://github.com/apoorvumang/prompt-lookup-decoding). A guess costs
// nothing when wrong but the rows it took in a pass: the model decides every token.
//
// Holds one entry per token and length of n-gram. One thread at a time.

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace mirage::engine {

class NgramDraft {
 public:
  // The longest match wins; shorter ones than kShortest are noise.
  static constexpr int kLongest = 4;
  static constexpr int kShortest = 2;

  // Takes in what `history` has beyond the last call. A history that became shorter or of which an
  // old part changed is for the caller to Clear first.
  void Sync(std::span<const int32_t> history);
  void Clear();

  // At most `count` tokens that may follow `history`, which is the one last given to Sync; none
  // when the newest tokens are new.
  [[nodiscard]] std::vector<int32_t> Propose(std::span<const int32_t> history, int64_t count) const;

 private:
  // An open-addressed table from the hash of an n-gram to the position after its newest occurrence
  // but the very last. A collision costs a comparison with the history, never a wrong match.
  struct Table {
    std::vector<uint32_t> positions;  // 0: free
    size_t used = 0;
  };
  static constexpr int kTables = kLongest - kShortest + 1;

  void Insert(int length, std::span<const int32_t> history, size_t end);
  void Grow(int length, std::span<const int32_t> history);
  [[nodiscard]] size_t Find(int length, std::span<const int32_t> history,
                            std::span<const int32_t> gram) const;

  std::array<Table, kTables> tables_;
  size_t seen_ =
      0;  // tokens taken in; n-grams that end at the newest of them are not in the tables
};

// How many tokens to guess: more while guesses come true, fewer and at last none for a while when
// they do not.
//
// A pass that takes F + B t for B tokens gives (1 + p g) tokens per sequence in F + B (1 + g) t
// when g guesses come true with probability p. That is faster than without guesses when p > B t /
// (F + B t): guessing pays while the fixed part, reading the weights, is most of a pass.
class DraftLength {
 public:
  explicit DraftLength(int64_t most) : most_(most), length_(std::min(kFirst, most)) {}

  // For the next step, of whose time `per_token_share` goes to its tokens one by one (B t / (F + B
  // t)); 0 while guessing rests or does not pay.
  [[nodiscard]] int64_t Next(double per_token_share);
  // Of `proposed` tokens the model chose the first `accepted` itself.
  void Learn(int64_t proposed, int64_t accepted);
  // No guesses for a while, each time for longer.
  void Rest();

 private:
  static constexpr int64_t kFirst = 4;
  static constexpr int kMissesToRest = 3;
  static constexpr int64_t kFirstRest = 8;
  static constexpr int64_t kLongestRest = 64;

  const int64_t most_;
  int64_t length_;
  int misses_ = 0;    // in a row
  int64_t rest_ = 0;  // steps left without a guess
  int64_t next_rest_ = kFirstRest;
  double acceptance_ = 1;  // of the last guesses, the part that came true
};

}  // namespace mirage::engine
