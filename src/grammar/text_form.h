// SPDX-License-Identifier: Apache-2.0
#pragma once

// TextForm: a set of strings that a schema allows, closed under "and", "or" and "not".
//
// It is a regular set, or all strings of so many code points: those are counted when they are
// spelt, where a regular set would need states for every length.

#include <cstdint>
#include <utility>

#include "base/result.h"
#include "grammar/dfa.h"

namespace mirage::grammar {

class TextForm {
 public:
  TextForm() = default;  // of no text at all
  explicit TextForm(Dfa set) : set_(std::move(set)) {}
  // Texts of `low` to `high` code points.
  [[nodiscard]] static TextForm Length(uint64_t low, uint64_t high);

  [[nodiscard]] bool empty() const { return !counted_ && set_.empty(); }
  // The texts are those of low() to high() code points; else those of set().
  [[nodiscard]] bool counted() const { return counted_; }
  [[nodiscard]] uint64_t low() const { return low_; }
  [[nodiscard]] uint64_t high() const { return high_; }
  [[nodiscard]] const Dfa& set() const { return set_; }

  [[nodiscard]] Result<TextForm> And(const TextForm& other, Work* work) const;
  [[nodiscard]] Result<TextForm> Or(const TextForm& other, Work* work) const;
  [[nodiscard]] Result<TextForm> AndNot(const TextForm& other, Work* work) const;
  // The same in the fewest states.
  [[nodiscard]] TextForm Minimized() const;

 private:
  [[nodiscard]] Result<Dfa> AsSet(Work* work) const;

  bool counted_ = false;
  uint64_t low_ = 0, high_ = 0;
  Dfa set_;
};

}  // namespace mirage::grammar
