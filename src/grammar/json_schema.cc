// SPDX-License-Identifier: Apache-2.0
#include "grammar/json_schema.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "grammar/automaton_builder.h"
#include "grammar/json_value.h"
#include "grammar/regex.h"
#include "grammar/schema_form.h"
#include "grammar/schema_reader.h"
#include "grammar/utf8.h"

namespace mirage::grammar {
namespace {

constexpr size_t kMaxRules = 5'000;
constexpr size_t kMaxTextStates = 500'000;
// A double has them all.
constexpr const char* kFewDigits = R"(-?(0|[1-9]\d{0,15})(\.\d{1,16})?([eE][+-]?\d{1,2})?)";

// A rule is what satisfies one demand. Rules are found by walking from the document's own, pruned
// to those that some text ends, and put into states.
class Compiler {
 public:
  Compiler(const JsonValue& schema, Spelling spelling)
      : reader_(schema),
        spelling_(spelling),
        encoding_(spelling == Spelling::kAny ? Encoding::kJsonStringAnyhow
                                             : Encoding::kJsonString) {}

  Result<Automaton> Compile() {
    const uint32_t root = RuleOf(reader_.Root());
    MIRAGE_TRY(FindRules());
    FindPossible();
    const uint32_t start = builder_.AddState();
    EmitSpace();
    if (possible_[root]) {
      for (size_t i = 0; i < rules_.size(); ++i) starts_.push_back(builder_.AddState());
      for (uint32_t rule = 0; rule < rules_.size(); ++rule)
        if (possible_[rule]) MIRAGE_TRY(EmitRule(rule));
      const uint32_t end = builder_.AddState();
      builder_.Accept(end);
      if (spelling_ == Spelling::kAny) {
        const uint32_t spaced = builder_.AddState();
        builder_.Accept(spaced);
        Spaces(end, spaced);
      }
      for (const uint32_t state : Spaced(start)) builder_.AddCall(state, starts_[root], end);
    }
    return builder_.Finish(start);
  }

 private:
  uint32_t RuleOf(const Demand& demand) {
    const auto [entry, fresh] = numbers_.try_emplace(demand, static_cast<uint32_t>(order_.size()));
    if (fresh) order_.push_back(demand);
    return entry->second;
  }

  Status FindRules() {
    size_t states = 0;
    for (size_t i = 0; i < order_.size(); ++i) {
      if (i == kMaxRules)
        return Fail(Code::kUnsupported,
                    "the schema needs more than " + std::to_string(kMaxRules) + " rules");
      const Demand demand = order_[i];  // the list may move
      MIRAGE_TRY_ASSIGN(Form form, reader_.FormOf(demand));
      form.number = form.number.Minimized();
      if (spelling_ == Spelling::kBounded) MIRAGE_TRY(BoundDigits(&form.number));
      form.text = form.text.Minimized();
      states += form.number.states().size() + form.text.set().states().size();
      if (states > kMaxTextStates)
        return Fail(Code::kUnsupported, "the schema's strings and numbers need more than " +
                                            std::to_string(kMaxTextStates) + " states");
      for (const ArrayForm& array : form.arrays) {
        for (const Demand& element : array.first) (void)RuleOf(element);
        (void)RuleOf(array.rest);
      }
      for (const ObjectForm& object : form.objects) {
        for (const auto& [name, member] : object.named) (void)RuleOf(member);
        (void)RuleOf(object.others);
      }
      rules_.push_back(std::move(form));
    }
    return {};
  }

  static Status BoundDigits(Dfa* number) {
    MIRAGE_TRY_ASSIGN(const Dfa few, CompileRegex(kFewDigits, Anchoring::kWhole));
    MIRAGE_TRY_ASSIGN(const Dfa bounded, number->And(few));
    if (!bounded.empty()) *number = bounded.Minimized();
    return {};
  }

  [[nodiscard]] bool Possible(const Demand& demand) const { return possible_[numbers_.at(demand)]; }

  // How many elements there may be at most, as far as they can be spelt.
  [[nodiscard]] uint64_t Most(const ArrayForm& array) const {
    for (uint64_t i = 0; i < array.first.size(); ++i)
      if (!Possible(array.first[i])) return std::min(array.high, i);
    return Possible(array.rest) ? array.high : std::min<uint64_t>(array.high, array.first.size());
  }
  [[nodiscard]] bool Possible(const ArrayForm& array) const { return array.low <= Most(array); }

  [[nodiscard]] bool Possible(const ObjectForm& object) const {
    if (object.low > object.high || object.required.size() > object.high) return false;
    for (const std::string& name : object.required)
      if (!Possible(object.Of(name))) return false;
    if (Possible(object.others)) return true;
    const auto names = std::count_if(object.named.begin(), object.named.end(),
                                     [&](const auto& m) { return Possible(m.second); });
    return object.low <= static_cast<uint64_t>(names);
  }

  // The least solution: a rule is possible when some text without an endless inside is.
  void FindPossible() {
    possible_.assign(rules_.size(), false);
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t i = rules_.size(); i-- > 0;) {
        if (possible_[i]) continue;
        const Form& form = rules_[i];
        const auto possible = [&](const auto& one) { return Possible(one); };
        if (form.constants == 0 && form.number.empty() && form.text.empty() &&
            std::none_of(form.arrays.begin(), form.arrays.end(), possible) &&
            std::none_of(form.objects.begin(), form.objects.end(), possible))
          continue;
        possible_[i] = changed = true;
      }
    }
  }

  // The rule of all the white space there may be in one place, at least a byte.
  void EmitSpace() {
    blank_ = builder_.AddState();
    uint32_t line = builder_.AddState();
    builder_.Accept(line);
    if (spelling_ == Spelling::kAny) {
      for (const uint32_t from : {blank_, line})
        for (const char space : {' ', '\t', '\n', '\r'}) builder_.AddEdge(from, space, line);
      return;
    }
    const uint32_t space = builder_.AddState();
    builder_.Accept(space);
    builder_.AddEdge(blank_, ' ', space);
    builder_.AddEdge(blank_, '\n', line);
    for (int i = 0; i < kMostIndent; ++i) {
      const uint32_t further = builder_.AddState();
      builder_.Accept(further);
      for (const char indent : {' ', '\t'}) builder_.AddEdge(line, indent, further);
      line = further;
    }
  }
  void Spaces(uint32_t from, uint32_t to) { builder_.AddCall(from, blank_, to); }
  // The state itself and the one after white space.
  std::array<uint32_t, 2> Spaced(uint32_t state, Kind kind = Kind::kPlain) {
    const uint32_t spaced = builder_.AddState(kind);
    Spaces(state, spaced);
    return {state, spaced};
  }

  Status EmitRule(uint32_t rule) {
    const Form& form = rules_[rule];
    Dfa plain = form.number;
    const std::pair<uint8_t, const char32_t*> words[] = {
        {Form::kNull, U"null"}, {Form::kFalse, U"false"}, {Form::kTrue, U"true"}};
    for (const auto& [bit, word] : words)
      if ((form.constants & bit) != 0) {
        MIRAGE_TRY_ASSIGN(plain, plain.Or(Dfa::Literal(word)));
      }
    if (!plain.empty()) {
      MIRAGE_TRY_ASSIGN(const uint32_t start, builder_.EmitRule(plain, Encoding::kPlain));
      builder_.AddCall(starts_[rule], start, kNoState);
    }
    if (form.text.counted())
      MIRAGE_TRY(EmitCounted(rule, form.text));
    else if (!form.text.empty())
      MIRAGE_TRY(EmitSet(rule, form.text.set()));
    for (const ArrayForm& array : form.arrays)
      if (Possible(array)) EmitArray(rule, array);
    for (const ObjectForm& object : form.objects)
      if (Possible(object)) MIRAGE_TRY(EmitObject(rule, object));
    return {};
  }

  Status EmitSet(uint32_t rule, const Dfa& set) {
    MIRAGE_TRY_ASSIGN(const std::vector<uint32_t> states,
                      builder_.EmitText(set.states(), encoding_));
    const uint32_t end = builder_.AddState();
    builder_.Accept(end);
    for (size_t i = 0; i < states.size(); ++i)
      if (set.states()[i].accepts) builder_.AddEdge(states[i], '"', end);
    builder_.AddEdge(starts_[rule], '"', states[0]);
    return {};
  }

  // Its characters are counted as the elements of an array are.
  Status EmitCounted(uint32_t rule, const TextForm& text) {
    if (text.low() == 0 && text.high() == UINT64_MAX) return EmitSet(rule, Dfa::Any());
    if (character_ == kNoState) {
      MIRAGE_TRY_ASSIGN(const Dfa one, Dfa::Length(1, 1));
      MIRAGE_TRY_ASSIGN(character_, builder_.EmitRule(one, encoding_));
    }
    ArrayShape shape;
    shape.low = text.low();
    shape.high = text.high();
    shape.rest = character_;
    shape.after = builder_.AddState(Kind::kElement);
    const uint32_t open =
        builder_.AddState(Kind::kArray, static_cast<uint32_t>(builder_.arrays.size()));
    const uint32_t close = AddClose();
    for (const uint32_t state : {open, shape.after}) builder_.AddEdge(state, '"', close);
    builder_.AddEdge(starts_[rule], '"', open);
    builder_.arrays.push_back(std::move(shape));
    return {};
  }

  // A state of its own for '[' or '{', called from the rule: several alternatives may begin so.
  void Opens(uint32_t rule, char bracket, uint32_t next) {
    const uint32_t begin = builder_.AddState();
    builder_.AddCall(starts_[rule], begin, kNoState);
    builder_.AddEdge(begin, bracket, next);
  }
  uint32_t AddClose() {
    const uint32_t close = builder_.AddState(Kind::kClose);
    builder_.Accept(close);
    return close;
  }

  void EmitArray(uint32_t rule, const ArrayForm& array) {
    ArrayShape shape;
    shape.low = array.low;
    shape.high = Most(array);
    for (uint64_t i = 0; i < std::min<uint64_t>(array.first.size(), shape.high); ++i)
      shape.first.push_back(starts_[numbers_.at(array.first[i])]);
    if (shape.high > array.first.size()) shape.rest = starts_[numbers_.at(array.rest)];

    const uint32_t after = builder_.AddState();
    const uint32_t close = AddClose();
    const uint32_t open =
        builder_.AddState(Kind::kArray, static_cast<uint32_t>(builder_.arrays.size()));
    const uint32_t comma = builder_.AddState(Kind::kNextElement);
    Opens(rule, '[', open);
    for (const uint32_t state : Spaced(open, Kind::kElement)) builder_.AddEdge(state, ']', close);
    for (const uint32_t state : Spaced(after)) {
      builder_.AddEdge(state, ',', comma);
      builder_.AddEdge(state, ']', close);
    }
    (void)Spaced(comma, Kind::kElement);
    shape.after = after;
    builder_.arrays.push_back(std::move(shape));
  }

  Status EmitObject(uint32_t rule, const ObjectForm& object) {
    // Names first, then all others as one label.
    std::vector<std::string> names;
    for (const auto& [name, demand] : object.named) names.push_back(name);
    for (const std::string& name : object.required)
      if (!object.named.contains(name)) names.push_back(name);
    ObjectShape shape;
    for (const std::string& name : names)
      shape.labels.push_back({Possible(object.Of(name)), object.required.contains(name), false});
    const bool others = Possible(object.others);
    if (others) shape.labels.push_back({true, false, true});
    shape.required = static_cast<uint32_t>(object.required.size());
    shape.low = object.low;
    shape.high = object.high;
    shape.distinct = others && object.low > object.required.size();
    if (shape.labels.empty()) shape.high = 0;

    const uint32_t after = builder_.AddState();
    const uint32_t close = AddClose();
    std::vector<uint32_t> ends;  // by label: after the name's closing quote
    for (uint32_t label = 0; label < shape.labels.size(); ++label) {
      const uint32_t end = builder_.AddState(Kind::kLabel, label);
      ends.push_back(end);
      if (!shape.labels[label].possible) continue;
      const Demand& demand = label < names.size() ? object.Of(names[label]) : object.others;
      const uint32_t value = builder_.AddState();
      for (const uint32_t state : Spaced(end)) builder_.AddEdge(state, ':', value);
      for (const uint32_t state : Spaced(value))
        builder_.AddCall(state, starts_[numbers_.at(demand)], after);
    }
    const uint32_t open =
        builder_.AddState(Kind::kObject, static_cast<uint32_t>(builder_.objects.size()));
    const uint32_t comma = builder_.AddState();
    Opens(rule, '{', open);
    const std::array<uint32_t, 2> opens = Spaced(open), afters = Spaced(after);
    for (const auto& states : {opens, afters})
      for (const uint32_t state : states) builder_.AddEdge(state, '}', close);
    if (!shape.labels.empty()) {
      MIRAGE_TRY_ASSIGN(const uint32_t key, EmitNames(names, shape, ends));
      for (const auto& states : {opens, Spaced(comma)})
        for (const uint32_t state : states) builder_.AddEdge(state, '"', key);
      for (const uint32_t state : afters) builder_.AddEdge(state, ',', comma);
      // A comma promises a name.
      builder_.SetKind(comma, Kind::kMore, builder_.LabelSetOf(key));
    }
    builder_.objects.push_back(std::move(shape));
    return {};
  }

  // The insides of the names, as a tree; what leaves it is another name.
  Result<uint32_t> EmitNames(const std::vector<std::string>& names, const ObjectShape& shape,
                             const std::vector<uint32_t>& ends) {
    const bool others = shape.labels.size() > names.size();
    struct Branch {
      std::map<char32_t, uint32_t> next;
      std::optional<uint32_t> label;
    };
    std::vector<Branch> tree(1);
    for (uint32_t label = 0; label < names.size(); ++label) {
      // Without other names, those that cannot be are no way at all.
      if (!others && !shape.labels[label].possible) continue;
      uint32_t at = 0;
      const std::optional<std::u32string> name = CodePoints(names[label]);
      for (const char32_t c : *name) {
        const auto [entry, fresh] =
            tree[at].next.try_emplace(c, static_cast<uint32_t>(tree.size()));
        at = entry->second;
        if (fresh) tree.emplace_back();
      }
      tree[at].label = label;
    }
    std::vector<Dfa::State> states(tree.size());
    const auto elsewhere = static_cast<uint32_t>(tree.size());
    if (others) states.emplace_back();
    for (uint32_t i = 0; i < states.size(); ++i) {
      CharSet rest = CharSet::Any();
      if (i < tree.size()) {
        CharSet taken;
        for (const auto& [c, next] : tree[i].next) {
          states[i].edges.push_back({c, c, next});
          taken.Add(c, c);
        }
        rest = taken.Complement();
      }
      if (!others) continue;
      for (const CharRange& range : rest.ranges())
        states[i].edges.push_back({range.low, range.high, elsewhere});
      std::sort(states[i].edges.begin(), states[i].edges.end(),
                [](const Dfa::Edge& a, const Dfa::Edge& b) { return a.low < b.low; });
    }
    const uint32_t begin = builder_.count();
    MIRAGE_TRY_ASSIGN(const std::vector<uint32_t> numbers, builder_.EmitText(states, encoding_));
    const uint32_t end = builder_.count();
    for (uint32_t i = 0; i < numbers.size(); ++i) {
      std::optional<uint32_t> label;
      if (i < tree.size()) label = tree[i].label;
      if (!label && others) label = static_cast<uint32_t>(names.size());
      if (label && shape.labels[*label].possible) builder_.AddEdge(numbers[i], '"', ends[*label]);
    }
    builder_.LabelKeys(begin, end, shape.labels.size());
    return numbers[0];
  }

  SchemaReader reader_;
  const Spelling spelling_;
  const Encoding encoding_;
  uint32_t blank_ = kNoState;      // where the rule of white space begins
  uint32_t character_ = kNoState;  // and that of one character of a string, where needed
  std::map<Demand, uint32_t> numbers_;
  std::vector<Demand> order_;
  std::vector<Form> rules_;
  std::vector<bool> possible_;
  AutomatonBuilder builder_;
  std::vector<uint32_t> starts_;
};

}  // namespace

Result<Automaton> CompileJsonSchema(std::string_view text, Spelling spelling) {
  MIRAGE_TRY_ASSIGN(const JsonValue schema, ParseJson(text));
  return Compiler(schema, spelling).Compile();
}

}  // namespace mirage::grammar
