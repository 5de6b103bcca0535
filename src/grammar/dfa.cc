// SPDX-License-Identifier: Apache-2.0
#include "grammar/dfa.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace mirage::grammar {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr uint64_t kProductSteps = 40;  // for a pair of states
constexpr size_t kMaxMinimized = 1000;  // refining a long chain takes its length squared

tl::unexpected<Error> TooLarge() {
  return Fail(Code::kUnsupported, "more than " + std::to_string(Dfa::kMaxStates) +
                                      " states are needed: simplify or split it");
}

// Appends an edge, as one with the last where they are neighbours with the same target.
void AppendEdge(std::vector<Dfa::Edge>* edges, Dfa::Edge edge) {
  if (!edges->empty() && edges->back().high + 1 == edge.low && edges->back().next == edge.next)
    edges->back().high = edge.high;
  else
    edges->push_back(edge);
}

}  // namespace

void ForEachPiece(
    const std::vector<Dfa::Edge>& edges,
    const std::function<void(char32_t, char32_t, const std::vector<uint32_t>&)>& piece) {
  struct Border {
    char32_t at;
    bool opens;
    uint32_t next;
  };
  std::vector<Border> borders;
  borders.reserve(edges.size() * 2);
  for (const Dfa::Edge& edge : edges) {
    borders.push_back({edge.low, true, edge.next});
    borders.push_back({edge.high + 1, false, edge.next});
  }
  std::sort(borders.begin(), borders.end(),
            [](const Border& a, const Border& b) { return a.at < b.at; });
  std::map<uint32_t, int> open;  // targets, with how many ranges lead to each
  std::vector<uint32_t> targets;
  for (size_t i = 0; i < borders.size();) {
    const char32_t at = borders[i].at;
    for (; i < borders.size() && borders[i].at == at; ++i) {
      int& count = open[borders[i].next];
      count += borders[i].opens ? 1 : -1;
      if (count == 0) open.erase(borders[i].next);
    }
    if (i == borders.size() || open.empty()) continue;
    targets.clear();
    for (const auto& [target, count] : open) targets.push_back(target);
    piece(at, borders[i].at - 1, targets);
  }
}

Dfa Dfa::Any() {
  std::vector<State> states(1);
  states[0].accepts = true;
  for (const CharRange& range : CharSet::Any().ranges())
    states[0].edges.push_back({range.low, range.high, 0});
  return Dfa(std::move(states));
}

Dfa Dfa::Literal(std::u32string_view text) {
  std::vector<State> states(text.size() + 1);
  for (size_t i = 0; i < text.size(); ++i)
    states[i].edges.push_back({text[i], text[i], static_cast<uint32_t>(i + 1)});
  states.back().accepts = true;
  return Dfa(std::move(states));
}

Result<Dfa> Dfa::Length(uint64_t low, uint64_t high) {
  if (low > high) return Dfa();
  const bool bounded = high != UINT64_MAX;
  const uint64_t last = bounded ? high : low;
  if (last >= kMaxStates) return TooLarge();
  std::vector<State> states(last + 1);
  for (uint64_t i = 0; i <= last; ++i) {
    states[i].accepts = i >= low;
    if (i == last && bounded) break;
    for (const CharRange& range : CharSet::Any().ranges())
      states[i].edges.push_back(
          {range.low, range.high, static_cast<uint32_t>(std::min(i + 1, last))});
  }
  return Dfa(std::move(states));
}

bool Dfa::Matches(std::u32string_view text) const {
  uint32_t at = 0;
  for (const char32_t c : text) {
    const auto& edges = states_[at].edges;
    const auto edge = std::find_if(edges.begin(), edges.end(), [&](const Edge& candidate) {
      return candidate.low <= c && c <= candidate.high;
    });
    if (edge == edges.end()) return false;
    at = edge->next;
  }
  return states_[at].accepts;
}

void Dfa::Trim() {
  // Backwards from the accepting states, then forwards from the start through what is left.
  std::vector<std::vector<uint32_t>> sources(states_.size());
  std::vector<uint32_t> work;
  std::vector<bool> alive(states_.size(), false);
  for (uint32_t i = 0; i < states_.size(); ++i) {
    for (const Edge& edge : states_[i].edges) sources[edge.next].push_back(i);
    for (const Call& call : states_[i].calls) sources[call.next].push_back(i);
    if (states_[i].accepts) {
      alive[i] = true;
      work.push_back(i);
    }
  }
  while (!work.empty()) {
    const uint32_t at = work.back();
    work.pop_back();
    for (const uint32_t source : sources[at]) {
      if (alive[source]) continue;
      alive[source] = true;
      work.push_back(source);
    }
  }
  std::vector<uint32_t> number(states_.size(), kNone);
  std::vector<State> kept;
  if (!alive[0]) {
    states_.assign(1, State{});
    return;
  }
  number[0] = 0;
  kept.push_back(std::move(states_[0]));
  for (size_t i = 0; i < kept.size(); ++i) {
    const auto renumber = [&](uint32_t next) {
      if (number[next] == kNone) {
        number[next] = static_cast<uint32_t>(kept.size());
        kept.push_back(std::move(states_[next]));
      }
      return number[next];
    };
    std::vector<Edge> edges;
    std::vector<Call> calls;
    // `renumber` may move `kept`: nothing of it is held across the call.
    const std::vector<Edge> old_edges = std::move(kept[i].edges);
    const std::vector<Call> old_calls = std::move(kept[i].calls);
    for (const Edge& edge : old_edges)
      if (alive[edge.next]) AppendEdge(&edges, {edge.low, edge.high, renumber(edge.next)});
    for (const Call& call : old_calls)
      if (alive[call.next]) calls.push_back({call.rule, renumber(call.next)});
    kept[i].edges = std::move(edges);
    kept[i].calls = std::move(calls);
  }
  states_ = std::move(kept);
}

Result<Dfa> Dfa::Product(const Dfa& other, bool any, Work* work) const {
  // kNone stands for the state that leads nowhere.
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> numbers;
  std::vector<std::pair<uint32_t, uint32_t>> pairs;
  const auto number = [&](uint32_t a, uint32_t b) {
    const auto [entry, fresh] = numbers.try_emplace({a, b}, static_cast<uint32_t>(pairs.size()));
    if (fresh) pairs.emplace_back(a, b);
    return entry->second;
  };
  number(0, 0);
  std::vector<State> states;
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (pairs.size() > 4 * kMaxStates) return TooLarge();
    if (work != nullptr) MIRAGE_TRY(work->Spend(kProductSteps));
    const auto [a, b] = pairs[i];
    State state;
    const bool in_a = a != kNone && states_[a].accepts;
    const bool in_b = b != kNone && other.states_[b].accepts;
    state.accepts = any ? in_a || in_b : in_a && in_b;
    // Targets of the other automaton are told apart by the top bit.
    constexpr uint32_t kOther = 1u << 31;
    std::vector<Edge> edges;
    if (a != kNone) edges = states_[a].edges;
    if (b != kNone)
      for (const Edge& edge : other.states_[b].edges)
        edges.push_back({edge.low, edge.high, edge.next | kOther});
    ForEachPiece(edges, [&](char32_t low, char32_t high, const std::vector<uint32_t>& targets) {
      uint32_t next_a = kNone, next_b = kNone;
      for (const uint32_t target : targets) {
        if (target & kOther)
          next_b = target & ~kOther;
        else
          next_a = target;
      }
      if (!any && (next_a == kNone || next_b == kNone)) return;
      AppendEdge(&state.edges, {low, high, number(next_a, next_b)});
    });
    states.push_back(std::move(state));
  }
  Dfa out(std::move(states));
  if (out.states_.size() > kMaxStates) return TooLarge();
  return out;
}

Result<Dfa> Dfa::And(const Dfa& other, Work* work) const { return Product(other, false, work); }

Result<Dfa> Dfa::Or(const Dfa& other, Work* work) const {
  if (empty()) return other;
  if (other.empty()) return *this;
  return Product(other, true, work);
}

Dfa Dfa::Not() const {
  // A state more, which accepts everything that follows.
  const auto rest = static_cast<uint32_t>(states_.size());
  std::vector<State> states = states_;
  states.push_back(State{});
  for (State& state : states) {
    state.accepts = !state.accepts;
    CharSet covered;
    for (const Edge& edge : state.edges) covered.Add(edge.low, edge.high);
    for (const CharRange& range : covered.Complement().ranges())
      state.edges.push_back({range.low, range.high, rest});
    std::sort(state.edges.begin(), state.edges.end(),
              [](const Edge& a, const Edge& b) { return a.low < b.low; });
  }
  return Dfa(std::move(states));
}

Dfa Dfa::Minimized() const {
  if (states_.size() > kMaxMinimized) return *this;
  // Moore's refinement: states stay together while their edges lead to the same groups.
  std::vector<uint32_t> group(states_.size());
  size_t groups = 0;
  for (;;) {
    std::map<std::vector<uint32_t>, uint32_t> signatures;
    std::vector<uint32_t> refined(states_.size());
    for (size_t i = 0; i < states_.size(); ++i) {
      std::vector<uint32_t> signature{group[i], states_[i].accepts};
      for (const Edge& edge : states_[i].edges) {
        const uint32_t next = group[edge.next];
        if (signature.size() >= 5 && signature.back() == next &&
            signature[signature.size() - 2] + 1 == edge.low)
          signature[signature.size() - 2] = edge.high;
        else
          signature.insert(signature.end(), {edge.low, edge.high, next});
      }
      for (const Call& call : states_[i].calls)
        signature.insert(signature.end(), {kNone, call.rule, group[call.next]});
      refined[i] =
          signatures.try_emplace(std::move(signature), static_cast<uint32_t>(signatures.size()))
              .first->second;
    }
    group = std::move(refined);
    if (signatures.size() == groups) break;
    groups = signatures.size();
  }
  // State 0 is seen first, so its group is 0.
  std::vector<State> states(groups);
  std::vector<bool> done(groups, false);
  for (size_t i = 0; i < states_.size(); ++i) {
    if (done[group[i]]) continue;
    done[group[i]] = true;
    State state = states_[i];
    for (Edge& edge : state.edges) edge.next = group[edge.next];
    for (Call& call : state.calls) call.next = group[call.next];
    states[group[i]] = std::move(state);
  }
  return Dfa(std::move(states));
}

Result<uint32_t> Nfa::Add() {
  if (nodes_.size() >= kMaxNodes)
    return Fail(Code::kUnsupported, "more than " + std::to_string(kMaxNodes) +
                                        " nodes are needed: repeat less, or simplify it");
  nodes_.emplace_back();
  return static_cast<uint32_t>(nodes_.size() - 1);
}

std::vector<uint32_t> Nfa::Closure(std::vector<uint32_t> nodes, bool begin, bool end) const {
  std::vector<uint32_t> out = nodes;
  std::vector<bool> seen(nodes_.size(), false);
  for (const uint32_t node : nodes) seen[node] = true;
  while (!nodes.empty()) {
    const uint32_t at = nodes.back();
    nodes.pop_back();
    for (const Epsilon& epsilon : nodes_[at].epsilons) {
      if (epsilon.assertion == Assertion::kBegin && !begin) continue;
      if (epsilon.assertion == Assertion::kEnd && !end) continue;
      if (seen[epsilon.to]) continue;
      seen[epsilon.to] = true;
      out.push_back(epsilon.to);
      nodes.push_back(epsilon.to);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

Result<Dfa> Nfa::Determinize(uint32_t start, uint32_t end, Work* work) const {
  // Sets of nodes; the start is a set of its own, since only there the text begins.
  std::map<std::pair<bool, std::vector<uint32_t>>, uint32_t> numbers;
  std::vector<const std::pair<const std::pair<bool, std::vector<uint32_t>>, uint32_t>*> order;
  const auto number = [&](std::vector<uint32_t> nodes, bool begin) {
    const auto [entry, fresh] = numbers.try_emplace(
        {begin, Closure(std::move(nodes), begin, false)}, static_cast<uint32_t>(order.size()));
    if (fresh) order.push_back(&*entry);
    return entry->second;
  };
  number({start}, true);
  std::vector<Dfa::State> states;
  for (size_t i = 0; i < order.size(); ++i) {
    const auto& [begin, nodes] = order[i]->first;
    // A closure walks all nodes' marks, so the bound counts them.
    MIRAGE_TRY(work->Spend(nodes.size() + nodes_.size() / 8));
    if (order.size() > Dfa::kMaxStates) return TooLarge();
    Dfa::State state;
    std::vector<Dfa::Edge> edges;
    std::map<uint32_t, std::vector<uint32_t>> calls;
    for (const uint32_t node : nodes) {
      const Node& from = nodes_[node];
      edges.insert(edges.end(), from.edges.begin(), from.edges.end());
      for (const Dfa::Call& call : from.calls) calls[call.rule].push_back(call.next);
    }
    const std::vector<uint32_t> at_end = Closure(nodes, begin, true);
    state.accepts = std::binary_search(at_end.begin(), at_end.end(), end);
    ForEachPiece(edges, [&](char32_t low, char32_t high, const std::vector<uint32_t>& targets) {
      work->done += nodes_.size() / 8;
      AppendEdge(&state.edges, {low, high, number(targets, false)});
    });
    for (auto& [rule, targets] : calls) state.calls.push_back({rule, number(targets, false)});
    states.push_back(std::move(state));
  }
  return Dfa(std::move(states));
}

}  // namespace mirage::grammar
