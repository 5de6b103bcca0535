// SPDX-License-Identifier: Apache-2.0
#pragma once

// PreTokenizer: how a family of byte-pair vocabularies cuts text into the pieces that merges may
// not cross.
//
// A family is a list of stages; each cuts the pieces of the one before it. The table in
// pre_tokenizer.cc holds the published patterns word for word; to add a family, add its row.
// Immutable: any thread.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "text/split_regex.h"

namespace mirage::text {

// Cuts runs of digits into threes from the right, which the published patterns say with lookaheads.
struct DigitGroups {
  CategoryMask digits = 0;
  bool isolate = false;          // also cut at both ends of the run
  bool before_boundary = false;  // only runs that a word boundary follows
};

class PreTokenizer {
 public:
  // What else the family's name implies.
  struct Traits {
    bool ignore_merges = false;  // a piece that is a token is that token, whatever the merges say
    bool add_bos = false;
    bool forces_bos = false;  // add_bos whatever the file's flag says
    bool space_mark =
        false;  // tokens hold plain UTF-8 with U+2581 for spaces, not the byte alphabet
    bool newline_runs = false;  // a run of newlines that is a token is that token
    bool composes = false;      // text is brought into Unicode's normalization form C before
  };

  // An unknown name gives the "default" family; known() then says so.
  [[nodiscard]] static Result<PreTokenizer> Create(std::string_view name);

  [[nodiscard]] const Traits& traits() const { return traits_; }
  [[nodiscard]] bool known() const { return known_; }
  [[nodiscard]] size_t heap_bytes() const;

  class Scratch {
   public:
    [[nodiscard]] uint64_t steps() const;

   private:
    friend class PreTokenizer;
    std::vector<SplitRegex::Scratch> stages_;
  };

  using Emit = std::function<void(std::string_view piece)>;

  // Calls emit for the pieces of well-formed UTF-8, in order; keeps none of them.
  void Split(std::string_view text, Scratch* scratch, const Emit& emit) const;

 private:
  void SplitFrom(size_t stage, std::string_view piece, Scratch* scratch, const Emit& emit) const;

  std::vector<std::variant<SplitRegex, DigitGroups>> stages_;
  Traits traits_;
  bool known_ = true;
};

}  // namespace mirage::text
