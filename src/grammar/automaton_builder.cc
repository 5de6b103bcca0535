// SPDX-License-Identifier: Apache-2.0
#include "grammar/automaton_builder.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace mirage::grammar {
namespace {

// The parts of edges between low and high.
std::vector<Dfa::Edge> Clip(const std::vector<Dfa::Edge>& edges, char32_t low, char32_t high) {
  std::vector<Dfa::Edge> out;
  for (const Dfa::Edge& edge : edges)
    if (edge.low <= high && edge.high >= low)
      out.push_back({std::max(edge.low, low), std::min(edge.high, high), edge.next});
  return out;
}

struct ShortEscape {
  char letter;
  char32_t code_point;
};
constexpr ShortEscape kShortEscapes[] = {{'"', '"'},  {'/', '/'},  {'\\', '\\'}, {'b', '\b'},
                                         {'f', '\f'}, {'n', '\n'}, {'r', '\r'},  {'t', '\t'}};

}  // namespace

uint32_t AutomatonBuilder::AddState(Kind kind, uint32_t aux) {
  drafts_.emplace_back();
  drafts_.back().node.kind = kind;
  drafts_.back().node.aux = aux;
  return count() - 1;
}

Result<std::vector<uint32_t>> AutomatonBuilder::EmitText(std::span<const Dfa::State> states,
                                                         Encoding encoding) {
  std::vector<uint32_t> numbers(states.size());
  for (uint32_t& number : numbers) number = AddState();
  for (size_t i = 0; i < numbers.size(); ++i) {
    std::vector<Dfa::Edge> edges = states[i].edges;
    for (Dfa::Edge& edge : edges) edge.next = numbers[edge.next];
    EmitChars(numbers[i], edges, encoding);
    if (drafts_.size() > kMaxStates)
      return Fail(Code::kUnsupported,
                  "more than " + std::to_string(kMaxStates) + " states are needed");
  }
  return numbers;
}

Result<uint32_t> AutomatonBuilder::EmitRule(const Dfa& dfa, Encoding encoding) {
  MIRAGE_TRY_ASSIGN(const std::vector<uint32_t> numbers, EmitText(dfa.states(), encoding));
  for (size_t i = 0; i < numbers.size(); ++i)
    if (dfa.states()[i].accepts) Accept(numbers[i]);
  return numbers[0];
}

void AutomatonBuilder::EmitChars(uint32_t at, const std::vector<Dfa::Edge>& edges,
                                 Encoding encoding) {
  const bool json = encoding != Encoding::kPlain;
  for (const Dfa::Edge& edge : Clip(edges, 0, 0x7F)) {
    for (char32_t c = edge.low; c <= edge.high;) {
      if (json && (c < 0x20 || c == '"' || c == '\\')) {
        ++c;
        continue;
      }
      char32_t last = c;
      while (last < edge.high && !(json && (last + 1 == '"' || last + 1 == '\\'))) ++last;
      AddEdge(at, static_cast<uint8_t>(c), static_cast<uint8_t>(last), edge.next);
      c = last + 1;
    }
  }
  if (json) EmitEscapes(at, edges, encoding);
  static constexpr Digit kTwo[] = {{5, 0xC0, false}, {6, 0x80, false}};
  static constexpr Digit kThree[] = {{4, 0xE0, false}, {6, 0x80, false}, {6, 0x80, false}};
  static constexpr Digit kFour[] = {
      {3, 0xF0, false}, {6, 0x80, false}, {6, 0x80, false}, {6, 0x80, false}};
  EmitDigits(at, kTwo, 0, 0, Clip(edges, 0x80, 0x7FF));
  EmitDigits(at, kThree, 0, 0, Clip(edges, 0x800, 0xFFFF));
  EmitDigits(at, kFour, 0, 0, Clip(edges, 0x10000, kMaxCodePoint));
}

void AutomatonBuilder::EmitEscapes(uint32_t at, const std::vector<Dfa::Edge>& edges,
                                   Encoding encoding) {
  static constexpr Digit kUnit[] = {{4, 0, true}, {4, 0, true}, {4, 0, true}, {4, 0, true}};
  static constexpr Digit kPair[] = {{2, 8, true},     {4, 0, true},    {4, 0, true},
                                    {0, '\\', false}, {0, 'u', false}, {0, 0xD, true},
                                    {2, 12, true},    {4, 0, true},    {4, 0, true}};
  std::vector<Dfa::Edge> unit = Clip(edges, 0, 0xFFFF);
  if (encoding == Encoding::kJsonString) {
    unit = Clip(edges, 0, 0x1F);
    for (const auto& [low, high] : {CharRange{'"', '"'}, {'\\', '\\'}, {0x7F, 0xFFFF}})
      for (const Dfa::Edge& edge : Clip(edges, low, high)) unit.push_back(edge);
  }
  std::vector<Dfa::Edge> pair = Clip(edges, 0x10000, kMaxCodePoint);
  for (Dfa::Edge& edge : pair) {
    edge.low -= 0x10000;
    edge.high -= 0x10000;
  }
  const uint32_t escape = AddState();
  for (const ShortEscape& known : kShortEscapes)
    for (const Dfa::Edge& edge : Clip(edges, known.code_point, known.code_point))
      AddEdge(escape, known.letter, edge.next);
  if (!unit.empty() || !pair.empty()) {
    // \uD leads to code units of their own and, from 8 to B, to the first of a pair.
    std::vector<Dfa::Edge> others = Clip(unit, 0, 0xCFFF);
    for (const Dfa::Edge& edge : Clip(unit, 0xE000, 0xFFFF)) others.push_back(edge);
    const uint32_t hex = AddState();
    EmitDigits(hex, kUnit, 0, 0, others);
    const std::vector<Dfa::Edge> high = Clip(unit, 0xD000, 0xDFFF);
    if (!high.empty() || !pair.empty()) {
      const uint32_t surrogates = AddState();
      EmitDigits(surrogates, kUnit, 1, 0xD000, high);
      EmitDigits(surrogates, kPair, 0, 0, pair);
      AddDigitEdge(hex, kUnit[0], 0xD, surrogates);
    }
    AddEdge(escape, 'u', hex);
  }
  if (!drafts_[escape].edges.empty()) AddEdge(at, '\\', escape);
}

void AutomatonBuilder::AddDigitEdge(uint32_t at, const Digit& digit, uint8_t value, uint32_t next) {
  const auto byte = static_cast<uint8_t>(digit.first + value);
  if (!digit.hex) {
    AddEdge(at, byte, byte, next);
  } else if (byte < 10) {
    AddEdge(at, static_cast<char>('0' + byte), next);
  } else {
    AddEdge(at, static_cast<char>('A' + byte - 10), next);
    AddEdge(at, static_cast<char>('a' + byte - 10), next);
  }
}

void AutomatonBuilder::EmitDigits(uint32_t at, Plan plan, size_t position, char32_t base,
                                  const std::vector<Dfa::Edge>& edges) {
  if (edges.empty()) return;
  unsigned below = 0;  // bits of the digits after this one
  for (size_t i = position + 1; i < plan.size(); ++i) below += plan[i].bits;
  const char32_t values = char32_t{1} << plan[position].bits;
  for (char32_t value = 0; value < values; ++value) {
    const char32_t low = base + (value << below);
    const std::vector<Dfa::Edge> inside = Clip(edges, low, low + (char32_t{1} << below) - 1);
    if (inside.empty()) continue;
    const uint32_t next =
        position + 1 == plan.size() ? inside[0].next : DigitsState(plan, position + 1, low, inside);
    AddDigitEdge(at, plan[position], static_cast<uint8_t>(value), next);
  }
}

uint32_t AutomatonBuilder::DigitsState(Plan plan, size_t position, char32_t base,
                                       const std::vector<Dfa::Edge>& edges) {
  // States for the same digits with the same ends are the same, wherever they begin.
  std::vector<uint32_t> key{static_cast<uint32_t>(plan.size() * 16 + position),
                            plan[0].first + (plan[0].hex ? 256u : 0u)};
  for (const Dfa::Edge& edge : edges)
    key.insert(key.end(), {edge.low - base, edge.high - base, edge.next});
  if (const auto known = digit_states_.find(key); known != digit_states_.end())
    return known->second;
  const uint32_t state = AddState();
  digit_states_.emplace(std::move(key), state);
  EmitDigits(state, plan, position, base, edges);
  return state;
}

void AutomatonBuilder::LabelKeys(uint32_t begin, uint32_t end, size_t labels) {
  const size_t words = (labels + 63) / 64;
  std::vector<std::vector<uint64_t>> reach(end - begin, std::vector<uint64_t>(words, 0));
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t i = end; i-- > begin;) {
      for (const Automaton::Edge& edge : drafts_[i].edges) {
        const Automaton::Node& next = drafts_[edge.next].node;
        const auto add = [&](size_t word, uint64_t bits) {
          changed |= (bits & ~reach[i - begin][word]) != 0;
          reach[i - begin][word] |= bits;
        };
        if (next.kind == Kind::kLabel && (edge.next < begin || edge.next >= end))
          add(next.aux / 64, uint64_t{1} << (next.aux % 64));
        else
          for (size_t word = 0; word < words; ++word) add(word, reach[edge.next - begin][word]);
      }
    }
  }
  std::map<std::vector<uint64_t>, uint32_t> numbers;
  for (uint32_t i = begin; i < end; ++i) {
    const auto [entry, fresh] =
        numbers.try_emplace(reach[i - begin], static_cast<uint32_t>(label_sets_.size()));
    if (fresh) label_sets_.push_back(reach[i - begin]);
    SetKind(i, Kind::kKey, entry->second);
  }
}

Result<Automaton> AutomatonBuilder::Finish(uint32_t start) {
  if (drafts_.size() > kMaxStates)
    return Fail(Code::kUnsupported,
                "more than " + std::to_string(kMaxStates) + " states are needed");
  Automaton out;
  out.start = start;
  out.objects = std::move(objects);
  out.arrays = std::move(arrays);
  out.label_sets = std::move(label_sets_);
  out.nodes.reserve(drafts_.size());
  for (Draft& draft : drafts_) {
    std::sort(draft.edges.begin(), draft.edges.end(),
              [](const auto& a, const auto& b) { return a.low < b.low; });
    if (draft.calls.size() > UINT16_MAX)
      return Fail(Code::kUnsupported, "more than 65535 alternatives at one place");
    Automaton::Node node = draft.node;
    node.first_edge = static_cast<uint32_t>(out.edges.size());
    for (const Automaton::Edge& edge : draft.edges) {
      const bool joins = out.edges.size() > node.first_edge &&
                         out.edges.back().high + 1 == edge.low &&
                         out.edges.back().next == edge.next;
      if (joins)
        out.edges.back().high = edge.high;
      else
        out.edges.push_back(edge);
    }
    node.edges = static_cast<uint16_t>(out.edges.size() - node.first_edge);
    node.first_call = static_cast<uint32_t>(out.calls.size());
    node.calls = static_cast<uint16_t>(draft.calls.size());
    out.calls.insert(out.calls.end(), draft.calls.begin(), draft.calls.end());
    out.nodes.push_back(node);
  }
  drafts_.clear();
  digit_states_.clear();
  return out;
}

}  // namespace mirage::grammar
