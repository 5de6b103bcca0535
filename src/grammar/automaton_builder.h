// SPDX-License-Identifier: Apache-2.0
#pragma once

// AutomatonBuilder: puts an Automaton together from regular sets of texts and from control states.
//
// A Dfa over code points becomes states over bytes, as UTF-8 or as the inside of a JSON string:
// there `"`, `\`, `/` and control characters have their short escapes, and characters are written
// as themselves or as \uXXXX, pairs of surrogates included.
//
// One thread. Sizes are bounded by kMaxStates.

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/result.h"
#include "grammar/automaton.h"
#include "grammar/dfa.h"

namespace mirage::grammar {

enum class Encoding {
  kPlain,
  kJsonString,        // printable ASCII as itself, but for quotation mark and backslash
  kJsonStringAnyhow,  // each character in every way that JSON has
};

class AutomatonBuilder {
 public:
  static constexpr size_t kMaxStates = 500'000;

  // A state without edges; they are set once.
  [[nodiscard]] uint32_t AddState(Kind kind = Kind::kPlain, uint32_t aux = 0);
  void AddEdge(uint32_t state, uint8_t low, uint8_t high, uint32_t next) {
    drafts_[state].edges.push_back({low, high, next});
  }
  void AddEdge(uint32_t state, char byte, uint32_t next) {
    AddEdge(state, static_cast<uint8_t>(byte), static_cast<uint8_t>(byte), next);
  }
  void AddCall(uint32_t state, uint32_t start, uint32_t back) {
    drafts_[state].calls.push_back({start, back});
  }
  void Accept(uint32_t state) { drafts_[state].node.accepts = true; }
  void SetKind(uint32_t state, Kind kind, uint32_t aux) {
    drafts_[state].node.kind = kind;
    drafts_[state].node.aux = aux;
  }

  // The states of a Dfa, by its numbers. Calls of rules are left to the caller, as is what an
  // accepting state means.
  [[nodiscard]] Result<std::vector<uint32_t>> EmitText(std::span<const Dfa::State> states,
                                                       Encoding encoding);
  // A Dfa without calls as a rule of its own: its start.
  [[nodiscard]] Result<uint32_t> EmitRule(const Dfa& dfa, Encoding encoding);

  // Makes the states [begin, end) of an object's names kKey, each with the labels that can be
  // reached from it. The kLabel states, outside of them, are their ends.
  void LabelKeys(uint32_t begin, uint32_t end, size_t labels);

  [[nodiscard]] uint32_t LabelSetOf(uint32_t key) const { return drafts_[key].node.aux; }

  [[nodiscard]] uint32_t count() const { return static_cast<uint32_t>(drafts_.size()); }

  std::vector<ObjectShape> objects;
  std::vector<ArrayShape> arrays;

  // kUnsupported when it is too large.
  [[nodiscard]] Result<Automaton> Finish(uint32_t start);

 private:
  struct Draft {
    Automaton::Node node;
    std::vector<Automaton::Edge> edges;
    std::vector<Automaton::Call> calls;
  };
  // A byte or some bits of a code point, as they are written.
  struct Digit {
    uint8_t bits;
    uint8_t first;  // the byte for 0; in hexadecimal the digit's value for 0
    bool hex;
  };
  using Plan = std::span<const Digit>;

  void EmitChars(uint32_t at, const std::vector<Dfa::Edge>& edges, Encoding encoding);
  void EmitEscapes(uint32_t at, const std::vector<Dfa::Edge>& edges, Encoding encoding);
  // Adds to `at` the edges of plan[position..] for the code points from `base` on.
  void EmitDigits(uint32_t at, Plan plan, size_t position, char32_t base,
                  const std::vector<Dfa::Edge>& edges);
  uint32_t DigitsState(Plan plan, size_t position, char32_t base,
                       const std::vector<Dfa::Edge>& edges);
  void AddDigitEdge(uint32_t at, const Digit& digit, uint8_t value, uint32_t next);

  std::vector<Draft> drafts_;
  std::vector<std::vector<uint64_t>> label_sets_;
  std::map<std::vector<uint32_t>, uint32_t> digit_states_;
};

}  // namespace mirage::grammar
