// SPDX-License-Identifier: Apache-2.0
#include "grammar/json_number.h"

#include <array>
#include <map>
#include <optional>
#include <string>

#include "grammar/regex.h"

namespace mirage::grammar {
namespace {

constexpr uint64_t kMaxDivisor = 10'000;

// Where one is in a number's text, and two numbers that the automaton at hand keeps.
struct Place {
  enum Part : int { kBegin, kMinus, kZero, kWhole, kPoint, kFraction };
  Part part = kBegin;
  bool negative = false;
  int order = 0;  // of the digits so far against the bound's: -1, 0, 1
  uint64_t count = 0;
  auto operator<=>(const Place&) const = default;
  [[nodiscard]] bool ends() const { return part == kZero || part == kWhole || part == kFraction; }
};

// A place after a character of "-?(0|[1-9][0-9]*)(\.[0-9]+)?", its numbers as before.
std::optional<Place> Advance(Place at, char c) {
  const bool digit = c >= '0' && c <= '9';
  switch (at.part) {
    case Place::kBegin:
      if (c == '-') {
        at.part = Place::kMinus;
        at.negative = true;
        return at;
      }
      [[fallthrough]];
    case Place::kMinus:
      if (!digit) return std::nullopt;
      at.part = c == '0' ? Place::kZero : Place::kWhole;
      return at;
    case Place::kZero:
    case Place::kWhole:
      if (c == '.') {
        at.part = Place::kPoint;
        return at;
      }
      if (!digit || at.part == Place::kZero) return std::nullopt;
      return at;
    case Place::kPoint:
    case Place::kFraction:
      if (!digit) return std::nullopt;
      at.part = Place::kFraction;
      return at;
  }
  return std::nullopt;
}

// The automaton of what `step` does to places and of where `accepts` holds.
template <typename Step, typename Accepts>
Result<Dfa> Simulate(Step step, Accepts accepts) {
  std::map<Place, uint32_t> numbers{{Place{}, 0}};
  std::vector<Place> places{Place{}};
  std::vector<Dfa::State> states;
  for (size_t i = 0; i < places.size(); ++i) {
    if (places.size() > Dfa::kMaxStates)
      return Fail(Code::kUnsupported,
                  "the number needs more than " + std::to_string(Dfa::kMaxStates) + " states");
    const Place at = places[i];
    Dfa::State state;
    state.accepts = at.ends() && accepts(at);
    for (const char c : {'-', '.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'}) {
      const std::optional<Place> next = step(at, c);
      if (!next) continue;
      const auto [entry, fresh] = numbers.try_emplace(*next, static_cast<uint32_t>(places.size()));
      if (fresh) places.push_back(*next);
      const auto point = static_cast<char32_t>(c);
      if (!state.edges.empty() && state.edges.back().high + 1 == point &&
          state.edges.back().next == entry->second)
        state.edges.back().high = point;
      else
        state.edges.push_back({point, point, entry->second});
    }
    states.push_back(std::move(state));
  }
  return Dfa(std::move(states)).Minimized();
}

int Order(char a, char b) { return a < b ? -1 : a > b ? 1 : 0; }

}  // namespace

Result<Dfa> AnyNumber() {
  return CompileRegex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?", Anchoring::kWhole);
}

Result<Dfa> PlainNumber() {
  return CompileRegex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?", Anchoring::kWhole);
}

Result<Dfa> AnyInteger() { return CompileRegex("-?(0|[1-9][0-9]*)(\\.0+)?", Anchoring::kWhole); }

Result<Dfa> Compared(const Decimal& bound, bool less, bool equal, bool greater) {
  const std::string whole = bound.whole.empty() ? "0" : bound.whole;
  const std::string& fraction = bound.fraction;
  // `count` digits of the part at hand have been read; `order` is how they compare.
  const auto step = [&](const Place& from, char c) -> std::optional<Place> {
    std::optional<Place> at = Advance(from, c);
    if (!at || c == '-') return at;
    if (at->part == Place::kPoint) {
      // The lengths of whole parts decide first.
      if (from.count != whole.size()) at->order = from.count < whole.size() ? -1 : 1;
      at->count = 0;
    } else if (at->part == Place::kFraction) {
      if (at->order == 0)
        at->order = Order(c, at->count < fraction.size() ? fraction[at->count] : '0');
      at->count = at->order != 0 ? 0 : std::min<uint64_t>(at->count + 1, fraction.size());
    } else {
      if (at->order == 0 && at->count < whole.size()) at->order = Order(c, whole[at->count]);
      at->count = std::min<uint64_t>(at->count + 1, whole.size() + 1);
    }
    return at;
  };
  const auto accepts = [&](const Place& at) {
    int magnitude = at.order;
    if (at.part == Place::kFraction) {
      if (magnitude == 0 && at.count < fraction.size()) magnitude = -1;
    } else if (at.count != whole.size()) {
      magnitude = at.count < whole.size() ? -1 : 1;
    } else if (magnitude == 0 && !fraction.empty()) {
      magnitude = -1;
    }
    // From the magnitudes to the numbers: unlike signs decide, but zeros are one number.
    int order = magnitude;
    if (!at.negative && bound.negative) order = 1;
    if (at.negative && (bound.negative || bound.zero())) order = -magnitude;
    if (at.negative && !bound.negative && !bound.zero()) order = -1;
    return order < 0 ? less : order > 0 ? greater : equal;
  };
  return Simulate(step, accepts);
}

Result<Dfa> MultiplesOf(const Decimal& divisor) {
  // Scaled by a power of ten both are whole numbers: digits behind that are zeros, and the digits
  // so far have a remainder.
  const std::string digits = divisor.whole + divisor.fraction;
  const uint64_t places = divisor.fraction.size();
  uint64_t modulus = 0;
  for (const char c : digits) {
    modulus = modulus * 10 + static_cast<uint64_t>(c - '0');
    if (modulus > kMaxDivisor)
      return Fail(Code::kUnsupported,
                  "digits above " + std::to_string(kMaxDivisor) + " are not supported");
  }
  // `count` is the remainder, `order` the digits behind the point.
  const auto step = [&](const Place& from, char c) -> std::optional<Place> {
    std::optional<Place> at = Advance(from, c);
    if (!at || c == '-' || c == '.') return at;
    if (at->part == Place::kFraction) {
      if (static_cast<uint64_t>(at->order) == places) {
        if (c != '0') return std::nullopt;
        return at;
      }
      ++at->order;
    }
    at->count = (at->count * 10 + static_cast<uint64_t>(c - '0')) % modulus;
    return at;
  };
  const auto accepts = [&](const Place& at) {
    uint64_t remainder = at.count;
    for (auto i = static_cast<uint64_t>(at.order); i < places; ++i)
      remainder = remainder * 10 % modulus;
    return remainder == 0;
  };
  return Simulate(step, accepts);
}

}  // namespace mirage::grammar
