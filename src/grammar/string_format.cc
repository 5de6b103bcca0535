// SPDX-License-Identifier: Apache-2.0
#include "grammar/string_format.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "grammar/regex.h"

namespace mirage::grammar {
namespace {

constexpr std::string_view kDate =
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)";

constexpr std::string_view kTime =
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]+)?"
    "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

// Times of a leap second, which comes at the end of a day in UTC: the clock shows another hour and
// minute elsewhere, and then exactly one offset goes with them.
class LeapSeconds {
 public:
  static Dfa Make() { return LeapSeconds().All(); }

 private:
  static constexpr int kDay = 24 * 60;
  static constexpr int kLast = kDay - 1;

  uint32_t Add() {
    states_.emplace_back();
    return static_cast<uint32_t>(states_.size() - 1);
  }
  void Edge(uint32_t from, char32_t low, char32_t high, uint32_t to) {
    auto& edges = states_[from].edges;
    const auto place = std::find_if(edges.begin(), edges.end(),
                                    [&](const Dfa::Edge& edge) { return edge.low > low; });
    edges.insert(place, {low, high, to});
  }
  // The state after two digits; one already there is used.
  uint32_t Two(uint32_t from, int value) {
    for (const int digit : {value / 10, value % 10}) {
      const auto c = static_cast<char32_t>('0' + digit);
      const auto& edges = states_[from].edges;
      const auto known = std::find_if(edges.begin(), edges.end(),
                                      [&](const Dfa::Edge& edge) { return edge.low == c; });
      if (known != edges.end()) {
        from = known->next;
        continue;
      }
      const uint32_t next = Add();
      Edge(from, c, c, next);
      from = next;
    }
    return from;
  }
  uint32_t Then(uint32_t from, char32_t c) {
    const uint32_t next = Add();
    Edge(from, c, c, next);
    return next;
  }

  Dfa All() {
    const uint32_t begin = Add();
    const uint32_t zulu = Add();
    states_[zulu].accepts = true;
    std::vector<uint32_t> offsets;  // by minutes: where one is about to be spelt
    for (int offset = 0; offset < kDay; ++offset) {
      offsets.push_back(Add());
      states_[Two(Then(Two(offsets.back(), offset / 60), ':'), offset % 60)].accepts = true;
    }
    for (int hour = 0; hour < 24; ++hour) {
      const uint32_t minutes = Then(Two(begin, hour), ':');
      for (int minute = 0; minute < 60; ++minute) {
        const int local = hour * 60 + minute;
        const uint32_t second = Two(Then(Two(minutes, minute), ':'), 60);
        const uint32_t point = Then(second, '.');
        const uint32_t fraction = Add();
        Edge(point, '0', '9', fraction);
        Edge(fraction, '0', '9', fraction);
        for (const uint32_t end : {second, fraction}) {
          Edge(end, '+', '+', offsets[static_cast<size_t>((local - kLast + kDay) % kDay)]);
          Edge(end, '-', '-', offsets[static_cast<size_t>(kLast - local)]);
          if (local != kLast) continue;
          Edge(end, 'Z', 'Z', zulu);
          Edge(end, 'z', 'z', zulu);
        }
      }
    }
    return Dfa(std::move(states_));
  }
  std::vector<Dfa::State> states_;
};

constexpr std::string_view kOctet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
std::string Ipv4() {
  const std::string octet(kOctet);
  return octet + "(?:\\." + octet + "){3}";
}

std::string Ipv6() {
  const std::string group = "[0-9A-Fa-f]{1,4}";
  const std::string last = "(?:" + group + ":" + group + "|" + Ipv4() + ")";
  std::string out = "(?:(?:" + group + ":){6}" + last;
  // `::` stands for what is missing of eight groups: `front` before it, at most, the rest behind.
  for (int front = 0; front <= 7; ++front) {
    std::string before =
        front == 0 ? "" : "(?:" + group + ":){" + std::to_string(front - 1) + "}" + group;
    const int behind = 7 - front;  // at most so many groups behind
    std::string after;
    if (behind >= 2)
      after =
          "(?:(?:" + group + ":){0," + std::to_string(behind - 2) + "}" + last + "|" + group + ")?";
    else if (behind == 1)
      after = "(?:" + group + ")?";
    out += "|" + before + "::" + after;
  }
  return out + ")";
}

std::string Email() {
  const std::string atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
  const std::string quoted = "\"(?:[ !#-\\[\\]-~]|\\\\[ -~])*\"";
  const std::string label = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
  return "(?:" + atom + "(?:\\." + atom + ")*|" + quoted + ")@(?:" + label + "(?:\\." + label +
         ")*|\\[(?:" + Ipv4() + "|IPv6:" + Ipv6() + ")\\])";
}

std::string Uri() {
  const std::string escape = "%[0-9A-Fa-f]{2}";
  const std::string plain = "A-Za-z0-9._~!$&'()*+,;=\\-";
  const std::string segment_char = "(?:[" + plain + ":@]|" + escape + ")";
  const std::string future = "v[0-9A-Fa-f]+\\.[" + plain + ":]+";
  const std::string authority = "(?:(?:[" + plain + ":]|" + escape + ")*@)?(?:\\[(?:" + Ipv6() +
                                "|" + future + ")\\]|(?:[" + plain + "]|" + escape +
                                ")*)(?::[0-9]*)?";
  const std::string segments = "(?:/" + segment_char + "*)*";
  return "[A-Za-z][A-Za-z0-9+.-]*:(?://" + authority + segments + "|/(?:" + segment_char + "+" +
         segments + ")?|" + segment_char + "+" + segments + ")?(?:\\?(?:" + segment_char +
         "|[/?])*)?(?:#(?:" + segment_char + "|[/?])*)?";
}

std::string Pattern(std::string_view name) {
  if (name == "date") return std::string(kDate);
  if (name == "uuid")
    return "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}";
  if (name == "email") return Email();
  if (name == "ipv4") return Ipv4();
  if (name == "ipv6") return Ipv6();
  if (name == "uri") return Uri();
  return "";
}

Result<Dfa> Time() {
  MIRAGE_TRY_ASSIGN(const Dfa ordinary, CompileRegex(kTime, Anchoring::kWhole));
  return ordinary.Or(LeapSeconds::Make());
}

// Dates end with the only state that accepts them, where times begin.
Result<Dfa> DateTime() {
  MIRAGE_TRY_ASSIGN(const Dfa date, CompileRegex(std::string(kDate) + "[Tt]", Anchoring::kWhole));
  MIRAGE_TRY_ASSIGN(const Dfa time, Time());
  const Dfa front = date.Minimized();
  std::vector<Dfa::State> states = front.states();
  const auto border = static_cast<uint32_t>(states.size());
  for (Dfa::State state : time.states()) {
    for (Dfa::Edge& edge : state.edges) edge.next += border;
    states.push_back(std::move(state));
  }
  for (uint32_t i = 0; i < border; ++i) {
    if (!states[i].accepts) continue;
    states[i].accepts = false;
    states[i].edges = states[border].edges;
  }
  return Dfa(std::move(states));
}

}  // namespace

Result<Dfa> StringFormat(std::string_view name) {
  if (name == "time") return Time();
  if (name == "date-time") return DateTime();
  const std::string pattern = Pattern(name);
  if (pattern.empty())
    return Fail(Code::kUnsupported, "the format '" + std::string(name) + "' is not supported");
  MIRAGE_TRY_ASSIGN(const Dfa texts, CompileRegex(pattern, Anchoring::kWhole));
  return texts.Minimized();
}

}  // namespace mirage::grammar
