// SPDX-License-Identifier: Apache-2.0
#include "grammar/trigger.h"

#include <array>
#include <cstdint>
#include <utility>

namespace mirage::grammar {
namespace {

// How much of a trigger the text ends with, longest first: where each byte leads to.
struct Begun {
  std::array<uint32_t, 256> next{};
  bool complete = false;  // the text ends with a trigger
};

// State 0 is the start, and whatever has begun nothing.
std::vector<Begun> FindTriggers(const std::vector<std::string>& triggers) {
  std::vector<Begun> states(1);
  for (const std::string& trigger : triggers) {
    uint32_t at = 0;
    for (const char c : trigger) {
      uint32_t& next = states[at].next[static_cast<uint8_t>(c)];
      if (next == 0) next = static_cast<uint32_t>(states.size());
      at = next;
      if (at == states.size()) states.emplace_back();
    }
    states[at].complete = true;
  }
  // Shorter ones first, each byte that does not go on leads where it leads from the longest part
  // that is the beginning of some trigger.
  std::vector<uint32_t> order{0}, part(states.size(), 0);
  for (size_t i = 0; i < order.size(); ++i) {
    const uint32_t at = order[i];
    states[at].complete |= states[part[at]].complete;
    for (size_t byte = 0; byte < 256; ++byte) {
      uint32_t& next = states[at].next[byte];
      const uint32_t otherwise = at == 0 ? 0 : states[part[at]].next[byte];
      if (next == 0) {
        next = otherwise;
      } else {
        part[next] = otherwise;
        order.push_back(next);
      }
    }
  }
  return states;
}

}  // namespace

Status CheckTriggers(const std::vector<std::string>& triggers) {
  if (triggers.size() > kMostTriggers)
    return Fail(Code::kInvalidArgument, std::to_string(triggers.size()) +
                                            " triggers, expected at most " +
                                            std::to_string(kMostTriggers));
  for (const std::string& trigger : triggers)
    if (trigger.empty() || trigger.size() > kMostTriggerBytes)
      return Fail(Code::kInvalidArgument, "a trigger of " + std::to_string(trigger.size()) +
                                              " bytes, expected 1 to " +
                                              std::to_string(kMostTriggerBytes));
  return {};
}

Result<Automaton> AddTriggers(Automaton automaton, const std::vector<std::string>& triggers) {
  MIRAGE_TRY(CheckTriggers(triggers));
  const std::vector<Begun> states = FindTriggers(triggers);
  automaton.triggered = static_cast<uint32_t>(automaton.nodes.size());
  automaton.free_text = automaton.triggered + 1;
  Automaton::Node entry;
  entry.first_call = static_cast<uint32_t>(automaton.calls.size());
  entry.calls = 1;
  automaton.calls.push_back({automaton.start, kNoState});
  automaton.nodes.push_back(entry);
  for (const Begun& state : states) {
    Automaton::Node node;
    node.accepts = true;
    node.first_edge = static_cast<uint32_t>(automaton.edges.size());
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t to = state.next[byte];
      const uint32_t next = states[to].complete ? automaton.triggered : automaton.free_text + to;
      if (node.edges > 0 && automaton.edges.back().next == next) {
        automaton.edges.back().high = static_cast<uint8_t>(byte);
        continue;
      }
      const auto value = static_cast<uint8_t>(byte);
      automaton.edges.push_back({value, value, next});
      ++node.edges;
    }
    automaton.nodes.push_back(node);
  }
  automaton.start = automaton.free_text;
  return automaton;
}

}  // namespace mirage::grammar
