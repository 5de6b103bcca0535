// SPDX-License-Identifier: Apache-2.0
#pragma once

// Automaton: what every grammar, schema and pattern is compiled to. A pushdown automaton over
// bytes.
//
// A state has edges over bytes (disjoint, so at most one is taken), and calls: the rule that begins
// at `start` is matched, then the state `back` goes on. A call without `back` is a jump. A state
// that accepts ends its rule.
//
// What has been seen of an object or array would need a state for each of very many combinations.
// It is counted beside the state instead, in a tally. Kinds of states say where a tally begins,
// changes or is asked.
//
// From every state that a text can lead to, some text leads to the end: compilers drop what has no
// end, and the shapes that tallies are held against allow only what leaves one.
//
// Immutable once built: any thread.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mirage::grammar {

constexpr uint32_t kNoState = UINT32_MAX;

// What happens when an edge leads to a state. "Element" states call the next element of the array.
enum class Kind : uint8_t {
  kPlain,
  kObject,       // after '{': a tally of the object shape `aux` begins
  kKey,          // inside a name: one of the labels in the set `aux` must still be allowed
  kMore,         // after a comma: one of the labels in the set `aux` must still be allowed
  kLabel,        // after a name's closing quote: the label `aux` is seen
  kArray,        // after '[', or the quote of a string whose characters are counted: a tally of the
                 // array shape `aux` begins; an element state
  kNextElement,  // after a comma: an element must be allowed; an element state
  kElement,      // an element state, nothing more
  kClose,        // after '}' or ']', or that string's end: the tally must be complete, and ends
};

// What may be in an object: a label for each named property, and one for all other names.
struct ObjectShape {
  struct Label {
    bool possible = true;  // its value can be spelt
    bool required = false;
    bool others = false;  // stands for many names
  };
  std::vector<Label> labels;
  uint32_t required = 0;
  uint64_t low = 0, high = UINT64_MAX;  // properties
  // Other names may come once each: `low` asks for more properties than are required, and a name
  // that came twice would be one property.
  bool distinct = false;
};

struct ArrayShape {
  std::vector<uint32_t> first;  // the rules of the elements at the front
  uint32_t rest = kNoState;     // of the others; kNoState: there may be none
  uint64_t low = 0, high = UINT64_MAX;
  uint32_t after = kNoState;  // the state after an element
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
  };

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

  std::vector<Node> nodes;
  std::vector<Edge> edges;
  std::vector<Call> calls;
  std::vector<ObjectShape> objects;
  std::vector<ArrayShape> arrays;
  std::vector<std::vector<uint64_t>> label_sets;  // bits by label
  uint32_t start = 0;
  // Where the grammar's own begins, if other than `start` (grammar/trigger.h), and the states from
  // which on they are those of free text before.
  uint32_t triggered = kNoState;
  uint32_t free_text = kNoState;

  [[nodiscard]] size_t heap_bytes() const;
};

}  // namespace mirage::grammar
