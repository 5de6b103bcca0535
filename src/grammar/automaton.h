// SPDX-License-Identifier: Apache-2.0
#pragma once

// Automaton: what every grammar, schema and pattern is compiled to. A pushdown automaton over
// bytes.
//
// A state has edges over bytes (disjoint, so at most one is taken), and calls: the rule that begins
// at `start` is matched, then the state `back` goes on. A call without `back` is a jump. A state
// that accepts ends its rule.
//
// Two things that would need a state for each of very many combinations are counted beside the
// state instead: the run of white space, and the *tally* of an object or
// array, which says what has been seen of it. Kinds of states say where a tally begins, changes or
// is asked.
//
// From every state that a text can lead to, some text leads to the end: compilers drop what has no
// end, and the rules of a tally (Tallies) allow only what leaves one.
//
// Immutable once built: any thread.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mirage::grammar {

constexpr uint32_t kNoState = UINT32_MAX;

enum class Kind : uint8_t {
  kPlain,
  kObject,   // after '{': a tally of shape `aux` begins
  kKey,      // inside a name; `aux` is the set of labels that may still come of it
  kLabel,    // after a name's closing quote: the property `aux` is seen
  kMore,     // after a comma in an object
  kArray,    // after '[': a tally of shape `aux` begins; an element may follow
  kElement,  // after a comma in an array: an element must follow
  kClose,    // after '}' or ']'
};

// What may be in an object: a label for each named property, and one for each kind of other names.
struct ObjectShape {
  struct Label {
    bool possible = true;  // its value can be spelt
    bool required = false;
    bool free = false;  // stands for many names
    uint32_t value = kNoState;
    uint16_t height = 0;  // of its value
  };
  std::vector<Label> labels;
  uint32_t required = 0;
  uint64_t low = 0, high = UINT64_MAX;  // properties
  bool distinct = false;  // free names are remembered: the least count is of distinct names
};

struct ArrayShape {
  std::vector<uint32_t> first;  // the elements at the front
  uint32_t rest = kNoState;     // the others; kNoState: there may be none
  uint64_t low = 0, high = UINT64_MAX;
  uint32_t after = kNoState;      // the state after an element
  std::vector<uint16_t> heights;  // of first, then of rest
};

struct Automaton {
  struct Edge {
    uint8_t low, high;
    uint32_t next;
  };
  struct Call {
    uint32_t start;
    uint32_t back;  // kNoState: a jump
  };
  struct Node {
    uint32_t first_edge = 0, first_call = 0;
    uint16_t edges = 0, calls = 0;
    uint32_t aux = 0;
    Kind kind = Kind::kPlain;
    bool accepts = false;
    bool spaces = false;  // white space stays here, as long as its count allows
    // Any so many code points of text that needs no escape in JSON stay among this state's rule;
    // kEndless: any number.
    uint8_t run = 0;
    uint16_t height = 0;  // the fewest nested calls by which its rule can end
  };
  static constexpr uint8_t kEndless = 254;

  [[nodiscard]] std::span<const Edge> EdgesOf(const Node& node) const {
    return {edges.data() + node.first_edge, node.edges};
  }
  [[nodiscard]] std::span<const Call> CallsOf(const Node& node) const {
    return {calls.data() + node.first_call, node.calls};
  }
  [[nodiscard]] uint32_t Next(const Node& node, uint8_t byte) const {
    for (const Edge& edge : EdgesOf(node))
      if (byte <= edge.high) return byte >= edge.low ? edge.next : kNoState;
    return kNoState;
  }
  [[nodiscard]] size_t heap_bytes() const;

  std::vector<Node> nodes;
  std::vector<Edge> edges;
  std::vector<Call> calls;
  std::vector<ObjectShape> objects;
  std::vector<ArrayShape> arrays;
  std::vector<std::vector<uint64_t>> label_sets;  // bits by label
  uint32_t start = 0;
  uint32_t max_space = 0;  // white space in a row
};

}  // namespace mirage::grammar
