// SPDX-License-Identifier: Apache-2.0
#pragma once

// Dfa: a deterministic automaton over code points, and the operations that schemas need of it.
//
// Regular sets of texts: what a pattern matches, what a number may look like, which names an object
// may have. They are closed under "and", "or" and "not", and whether one is empty is decided here,
// when a grammar is compiled, so that no text can lead into a state from which nothing goes on.
//
// A state may also *call* a rule: leave the automaton, and come back to another state once the rule
// has been matched. That makes the rules of a grammar of them; sets with calls are only built and
// trimmed, not combined.
//
// Sizes are bounded: what would need more than kMaxStates is an Error. Values.

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "grammar/char_set.h"

namespace mirage::grammar {

// How much has been done, in steps of some 20 ns, against a bound.
struct Work {
  uint64_t done = 0;
  uint64_t most = 5'000'000;

  [[nodiscard]] Status Spend(uint64_t steps) {
    done += steps;
    if (done <= most) return {};
    return Fail(Code::kUnsupported, "it takes too much work: simplify or split it");
  }
};

class Dfa {
 public:
  static constexpr uint32_t kMaxStates = 60'000;

  struct Edge {
    char32_t low, high;
    uint32_t next;
  };
  struct Call {
    uint32_t rule;
    uint32_t next;
  };
  struct State {
    std::vector<Edge> edges;  // sorted, disjoint
    std::vector<Call> calls;  // at most one per rule
    bool accepts = false;
  };

  // Of no text at all. State 0 is the start.
  Dfa() : states_(1) {}
  explicit Dfa(std::vector<State> states) : states_(std::move(states)) { Trim(); }
  [[nodiscard]] static Dfa Any();  // every text
  [[nodiscard]] static Dfa Literal(std::u32string_view text);
  // Texts of `low` to `high` code points.
  [[nodiscard]] static Result<Dfa> Length(uint64_t low, uint64_t high);

  [[nodiscard]] const std::vector<State>& states() const { return states_; }
  // No text is in it (calls count as possible).
  [[nodiscard]] bool empty() const {
    return states_.size() == 1 && !states_[0].accepts && states_[0].edges.empty() &&
           states_[0].calls.empty();
  }
  [[nodiscard]] bool Matches(std::u32string_view text) const;

  // `work`, where given, counts what is done, and its bound is an Error: many sets may share one.
  [[nodiscard]] Result<Dfa> And(const Dfa& other, Work* work = nullptr) const;
  [[nodiscard]] Result<Dfa> Or(const Dfa& other, Work* work = nullptr) const;
  [[nodiscard]] Dfa Not() const;
  // The same set in the fewest states; as it is, when it has too many for that to be quick.
  [[nodiscard]] Dfa Minimized() const;

 private:
  // Drops states that cannot be reached or from which no accepting one can.
  void Trim();
  [[nodiscard]] Result<Dfa> Product(const Dfa& other, bool any, Work* work) const;
  std::vector<State> states_;
};

// Nfa: what an expression is built into before it becomes a Dfa.
class Nfa {
 public:
  static constexpr uint32_t kMaxNodes = 100'000;

  // What may hold at a point of the text without taking any of it.
  enum class Assertion : uint8_t { kNone, kBegin, kEnd };

  [[nodiscard]] Result<uint32_t> Add();
  void Link(uint32_t from, uint32_t to, Assertion assertion = Assertion::kNone) {
    nodes_[from].epsilons.push_back({to, assertion});
  }
  void Chars(uint32_t from, const CharSet& set, uint32_t to) {
    for (const CharRange& range : set.ranges())
      nodes_[from].edges.push_back({range.low, range.high, to});
  }
  void Calls(uint32_t from, uint32_t rule, uint32_t to) {
    nodes_[from].calls.push_back({rule, to});
  }

  // The texts that lead from start to end. Several
  // expressions may share one `work`.
  [[nodiscard]] Result<Dfa> Determinize(uint32_t start, uint32_t end, Work* work) const;

 private:
  struct Epsilon {
    uint32_t to;
    Assertion assertion;
  };
  struct Node {
    std::vector<Epsilon> epsilons;
    std::vector<Dfa::Edge> edges;
    std::vector<Dfa::Call> calls;
  };
  [[nodiscard]] std::vector<uint32_t> Closure(std::vector<uint32_t> nodes, bool begin,
                                              bool end) const;
  std::vector<Node> nodes_;
};

// Cuts the ranges of `edges` at each other's borders and calls piece(low, high, targets) for every
// piece that some cover, in order.
void ForEachPiece(const std::vector<Dfa::Edge>& edges,
                  const std::function<void(char32_t low, char32_t high,
                                           const std::vector<uint32_t>& targets)>& piece);

}  // namespace mirage::grammar
