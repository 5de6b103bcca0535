// SPDX-License-Identifier: Apache-2.0
#include "grammar/rules.h"

#include <optional>
#include <utility>

#include "grammar/automaton_builder.h"

namespace mirage::grammar {
namespace {

// What can be reached of every rule from its start, over the calls of rules that can end, and, when
// `over_texts`, over characters.
struct Reach {
  std::vector<std::vector<bool>> states;  // by rule
  std::vector<bool> ends;                 // an accepting state is among them
};

Reach ReachOf(const std::vector<Rule>& rules, bool over_texts) {
  Reach reach;
  reach.ends.resize(rules.size(), false);
  std::vector<std::pair<uint32_t, uint32_t>> work;                                // rule, state
  std::vector<std::vector<std::pair<uint32_t, uint32_t>>> waiting(rules.size());  // for its end
  for (uint32_t rule = 0; rule < rules.size(); ++rule) {
    reach.states.emplace_back(rules[rule].body.states().size(), false);
    work.emplace_back(rule, 0);
  }
  while (!work.empty()) {
    const auto [rule, at] = work.back();
    work.pop_back();
    if (reach.states[rule][at]) continue;
    reach.states[rule][at] = true;
    const Dfa::State& state = rules[rule].body.states()[at];
    if (over_texts)
      for (const Dfa::Edge& edge : state.edges) work.emplace_back(rule, edge.next);
    for (const Dfa::Call& call : state.calls) {
      if (reach.ends[call.rule])
        work.emplace_back(rule, call.next);
      else
        waiting[call.rule].emplace_back(rule, call.next);
    }
    if (!state.accepts || reach.ends[rule]) continue;
    reach.ends[rule] = true;
    work.insert(work.end(), waiting[rule].begin(), waiting[rule].end());
    waiting[rule].clear();
  }
  return reach;
}

// A rule that can call itself before any character, if there is one.
std::optional<uint32_t> LeftRecursive(const std::vector<Rule>& rules) {
  const Reach reach = ReachOf(rules, false);
  std::vector<std::vector<uint32_t>> first(rules.size());
  for (uint32_t rule = 0; rule < rules.size(); ++rule) {
    const auto& states = rules[rule].body.states();
    for (uint32_t i = 0; i < states.size(); ++i)
      if (reach.states[rule][i])
        for (const Dfa::Call& call : states[i].calls) first[rule].push_back(call.rule);
  }
  enum : uint8_t { kNew, kOpen, kDone };
  std::vector<uint8_t> marks(rules.size(), kNew);
  for (uint32_t root = 0; root < rules.size(); ++root) {
    if (marks[root] != kNew) continue;
    std::vector<std::pair<uint32_t, size_t>> path{{root, 0}};
    marks[root] = kOpen;
    while (!path.empty()) {
      auto& [rule, next] = path.back();
      if (next == first[rule].size()) {
        marks[rule] = kDone;
        path.pop_back();
        continue;
      }
      const uint32_t called = first[rule][next++];
      if (marks[called] == kOpen) return called;
      if (marks[called] == kDone) continue;
      marks[called] = kOpen;
      path.emplace_back(called, 0);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<Automaton> AssembleRules(const std::vector<Rule>& rules, uint32_t root) {
  const Reach reach = ReachOf(rules, true);
  for (uint32_t rule = 0; rule < rules.size(); ++rule)
    if (!reach.ends[rule])
      return Fail(Code::kInvalidArgument,
                  "rule '" + rules[rule].name + "' produces nothing: no text ends it");
  if (const std::optional<uint32_t> rule = LeftRecursive(rules))
    return Fail(Code::kInvalidArgument,
                "rule '" + rules[*rule].name + "' is left-recursive: it can begin with itself");

  AutomatonBuilder builder;
  std::vector<std::vector<uint32_t>> numbers;
  for (const Rule& rule : rules) {
    MIRAGE_TRY_ASSIGN(std::vector<uint32_t> states,
                      builder.EmitText(rule.body.states(), Encoding::kPlain));
    numbers.push_back(std::move(states));
  }
  for (uint32_t rule = 0; rule < rules.size(); ++rule) {
    const auto& states = rules[rule].body.states();
    for (uint32_t i = 0; i < states.size(); ++i) {
      if (states[i].accepts) builder.Accept(numbers[rule][i]);
      for (const Dfa::Call& call : states[i].calls) {
        // A call after which nothing is left to do keeps no place on the stack.
        const Dfa::State& back = states[call.next];
        const bool last = back.accepts && back.edges.empty() && back.calls.empty();
        builder.AddCall(numbers[rule][i], numbers[call.rule][0],
                        last ? kNoState : numbers[rule][call.next]);
      }
    }
  }
  return builder.Finish(numbers[root][0]);
}

}  // namespace mirage::grammar
