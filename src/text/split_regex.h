// SPDX-License-Identifier: Apache-2.0
#pragma once

// SplitRegex: one pattern of a pre-tokenizer, written exactly as published, matched in linear time.
//
// The subset is what tokenizer.json files use: alternation (leftmost, first alternative wins),
// groups, (?i:...), classes with \p{..}, \s, \d, nesting and &&, greedy and possessive quantifiers,
// (?!\S) and $. Semantics are Oniguruma's over the Unicode table of this room. The matcher
// backtracks with an explicit stack and remembers, for each repeated class, where its run ends and
// which ends have already failed, so a text is walked a fixed number of times whatever it holds.
//
// A compiled pattern is immutable; Scratch is one caller's working memory.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/unicode.h"

namespace mirage::text {

// A set of code points as a pattern's class states it.
class CharSet {
 public:
  [[nodiscard]] bool Contains(char32_t code_point) const {
    if (code_point < 128) return (ascii_[code_point >> 6] >> (code_point & 63)) & 1;
    return Evaluate(code_point);
  }
  [[nodiscard]] size_t heap_bytes() const { return ranges_.capacity() * sizeof(Range); }

 private:
  friend class SplitRegexCompiler;
  struct Range {
    char32_t first, last;
  };

  [[nodiscard]] bool Evaluate(char32_t code_point) const;
  void Add(char32_t first, char32_t last) { ranges_.push_back({first, last}); }
  void Add(const CharSet& other);
  void Freeze();  // fills ascii_

  std::array<uint64_t, 2> ascii_{};
  std::vector<Range> ranges_;
  CategoryMask categories_ = 0;
  bool white_space_ = false;
  bool han_ = false;
  bool negated_ = false;
  bool without_han_ = false;  // && [^\p{Han}]
};

class SplitRegex {
 public:
  static constexpr size_t kNoMatch = static_cast<size_t>(-1);

  class Scratch {
   public:
    // Work done so far, in code points and backtracks; what the linear-time tests count.
    [[nodiscard]] uint64_t steps() const { return steps_; }

   private:
    friend class SplitRegex;
    struct Choice {
      uint32_t pc;
      uint32_t low, at,
          run_end;  // a run that ended at run_end gives back code points down to `low`
    };
    struct Run {
      uint32_t begin = 1,
               end = 0;  // the run of set s that covers [begin, end); none when begin > end
    };
    struct Failed {
      uint32_t run_end = 0, down_to = 0;  // ends in [down_to, run_end] lead nowhere
      bool known = false;
    };
    std::vector<Choice> choices_;
    std::vector<Run> runs_;       // by set
    std::vector<Failed> failed_;  // by instruction
    uint64_t steps_ = 0;
  };

  [[nodiscard]] static Result<SplitRegex> Compile(std::string_view pattern);

  // Calls emit(piece) for every match and every gap between matches, in order; together they are
  // the text.
  template <typename Emit>
  void Split(std::string_view text, Scratch* scratch, Emit&& emit) const {
    Begin(scratch);
    size_t emitted = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t end = MatchAt(text, at, scratch);
      if (end == kNoMatch || end == at) {
        at += Utf8Length(text[at]);
        continue;
      }
      if (at > emitted) emit(text.substr(emitted, at - emitted));
      emit(text.substr(at, end - at));
      at = emitted = end;
    }
    if (emitted < text.size()) emit(text.substr(emitted));
  }

  [[nodiscard]] size_t heap_bytes() const;

 private:
  friend class SplitRegexCompiler;
  enum class Op : uint8_t {
    kSet,        // one code point of set
    kRun,        // min to max code points of set, as many as possible
    kRunAtomic,  // the same, never giving back
    kChoice,     // continue at the next instruction; if that fails, at target
    kJump,
    kCommit,    // a match is certain from here: forget the choices
    kNotAhead,  // the next code point is not in set
    kLineEnd,   // end of text or before \n
    kMatch,
  };
  struct Instruction {
    Op op;
    uint16_t set = 0;
    uint16_t target = 0;
    uint32_t min = 0, max = 0;
  };

  void Begin(Scratch* scratch) const;
  [[nodiscard]] size_t MatchAt(std::string_view text, size_t begin, Scratch* scratch) const;
  [[nodiscard]] size_t RunEnd(std::string_view text, size_t at, uint16_t set,
                              Scratch* scratch) const;
  [[nodiscard]] bool EnterRun(std::string_view text, size_t pc, size_t* at, Scratch* scratch) const;
  [[nodiscard]] bool Backtrack(std::string_view text, size_t* pc, size_t* at,
                               Scratch* scratch) const;

  std::vector<CharSet> sets_;
  std::vector<Instruction> program_;
};

}  // namespace mirage::text
