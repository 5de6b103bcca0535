// SPDX-License-Identifier: Apache-2.0
#pragma once

// Form: the values that a schema allows, by type, in a shape that "and", "or" and "not" keep.
//
// Numbers are regular sets of texts, strings those or all of some lengths. Arrays and objects are
// alternatives, each with what its elements and members must satisfy: a Demand, which is a set of
// schemas by number that hold together. Numbers stand for schemas so that recursion ends: a Demand
// is looked into only when its turn comes.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "grammar/dfa.h"
#include "grammar/text_form.h"

namespace mirage::grammar {

// Sorted, without repetition. Empty: anything.
using Demand = std::vector<uint32_t>;

[[nodiscard]] Demand Together(const Demand& a, const Demand& b);

struct ArrayForm {
  std::vector<Demand> first;  // of the elements at the front
  Demand rest;                // of all others
  uint64_t low = 0, high = UINT64_MAX;
};

struct ObjectForm {
  std::map<std::string, Demand> named;  // all that holds of those members
  Demand others;                        // of all others
  std::set<std::string> required;
  uint64_t low = 0, high = UINT64_MAX;

  [[nodiscard]] const Demand& Of(const std::string& name) const {
    const auto found = named.find(name);
    return found == named.end() ? others : found->second;
  }
};

struct Form {
  static constexpr uint8_t kNull = 1, kFalse = 2, kTrue = 4;
  uint8_t constants = 0;
  Dfa number;
  TextForm text;
  std::vector<ArrayForm> arrays;
  std::vector<ObjectForm> objects;

  [[nodiscard]] bool empty() const {
    return constants == 0 && number.empty() && text.empty() && arrays.empty() && objects.empty();
  }
};

// What the algebra must know of demands.
class Demands {
 public:
  virtual ~Demands() = default;
  // A schema that holds where not all of `demand` does.
  [[nodiscard]] virtual Result<uint32_t> Not(const Demand& demand) = 0;
  // Surely nothing satisfies it; false where that is not seen at once.
  [[nodiscard]] virtual bool Impossible(const Demand& demand) = 0;

  Work work{0, 20'000'000};  // of the whole document
};

constexpr size_t kMaxAlternatives = 256;

[[nodiscard]] Result<Form> Anything();
[[nodiscard]] Result<Form> And(const Form& a, const Form& b, Demands& demands);
[[nodiscard]] Result<Form> Or(const Form& a, const Form& b, Demands& demands);
// kUnsupported where "not" has no form: that some element or member, whichever, is wrong.
[[nodiscard]] Result<Form> AndNot(const Form& a, const Form& b, Demands& demands);

}  // namespace mirage::grammar
