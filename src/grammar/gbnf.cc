// SPDX-License-Identifier: Apache-2.0
#include "grammar/gbnf.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "grammar/limits.h"
#include "grammar/rules.h"
#include "grammar/utf8.h"

namespace mirage::grammar {
namespace {

class Parser {
 public:
  explicit Parser(std::u32string text) : text_(std::move(text)) {}

  Result<Automaton> Compile() {
    Space(true);
    while (!AtEnd()) {
      MIRAGE_TRY(ParseRule());
      Space(true);
    }
    for (const Named& named : rules_)
      if (!named.defined)
        return BadAt(named.first_use, "rule '" + named.rule.name + "' is not defined");
    const auto root = numbers_.find("root");
    if (root == numbers_.end()) return Fail(Code::kInvalidArgument, "there is no rule 'root'");
    std::vector<Rule> rules;
    for (Named& named : rules_) rules.push_back(std::move(named.rule));
    return AssembleRules(rules, root->second);
  }

 private:
  struct Part {
    uint32_t start, end;
  };
  struct Named {
    Rule rule;
    bool defined = false;
    size_t first_use = 0;
  };

  [[nodiscard]] std::string Place(size_t at) const {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; ++i) {
      ++column;
      if (text_[i] == '\n') {
        ++line;
        column = 1;
      }
    }
    return std::to_string(line) + ":" + std::to_string(column) + ": ";
  }
  [[nodiscard]] tl::unexpected<Error> BadAt(size_t at, const std::string& what) const {
    return Fail(Code::kInvalidArgument, Place(at) + what);
  }
  [[nodiscard]] tl::unexpected<Error> Bad(const std::string& what) const {
    return BadAt(at_, what);
  }
  [[nodiscard]] tl::unexpected<Error> Unsupported(const std::string& what) const {
    return Fail(Code::kUnsupported, Place(at_) + what);
  }

  [[nodiscard]] bool AtEnd() const { return at_ == text_.size(); }
  [[nodiscard]] bool At(char32_t c) const { return !AtEnd() && text_[at_] == c; }
  [[nodiscard]] bool Take(char32_t c) {
    if (!At(c)) return false;
    ++at_;
    return true;
  }
  // Blanks and comments, and the ends of lines too when `lines`.
  void Space(bool lines) {
    while (!AtEnd()) {
      if (At('#')) {
        while (!AtEnd() && !At('\n')) ++at_;
      } else if (At(' ') || At('\t') || At('\r') || (lines && At('\n'))) {
        ++at_;
      } else {
        return;
      }
    }
  }
  [[nodiscard]] bool AtName() const {
    if (AtEnd()) return false;
    const char32_t c = text_[at_], lower = c | 32;
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  }
  std::string Name() {
    std::string name;
    while (AtName()) name.push_back(static_cast<char>(text_[at_++]));
    return name;
  }

  Result<uint32_t> Number(const std::string& name, size_t at) {
    const auto [entry, fresh] = numbers_.try_emplace(name, static_cast<uint32_t>(rules_.size()));
    if (fresh) {
      if (rules_.size() == kMaxGbnfRules)
        return Unsupported("more than " + std::to_string(kMaxGbnfRules) + " rules");
      rules_.emplace_back();
      rules_.back().rule.name = name;
      rules_.back().first_use = at;
    }
    return entry->second;
  }

  Status ParseRule() {
    const size_t begin = at_;
    if (!AtName()) return Bad("the name of a rule is expected");
    const std::string name = Name();
    MIRAGE_TRY_ASSIGN(const uint32_t number, Number(name, begin));
    if (rules_[number].defined) return BadAt(begin, "rule '" + name + "' is defined twice");
    rules_[number].defined = true;
    Space(false);
    if (!(Take(':') && Take(':') && Take('=')))
      return Bad("'::=' is expected after '" + name + "'");
    Space(true);
    nfa_ = Nfa();
    MIRAGE_TRY_ASSIGN(const Part body, Alternatives(0));
    if (!AtEnd() && !At('\n')) return Bad("the end of the rule '" + name + "' is expected");
    Result<Dfa> dfa = nfa_.Determinize(body.start, body.end, &work_);
    if (!dfa) return Fail(std::move(dfa).error().Within("rule '" + name + "'"));
    rules_[number].rule.body = *std::move(dfa);
    return {};
  }

  Result<uint32_t> AddNode() {
    if (++nodes_ > Nfa::kMaxNodes)
      return Unsupported("more than " + std::to_string(Nfa::kMaxNodes) +
                         " nodes are needed: repeat less, or simplify it");
    return nfa_.Add();
  }

  Result<Part> Alternatives(int depth) {
    if (depth > kMaxNesting)
      return Unsupported("more than " + std::to_string(kMaxNesting) + " nested groups");
    MIRAGE_TRY_ASSIGN(const uint32_t start, AddNode());
    MIRAGE_TRY_ASSIGN(const uint32_t end, AddNode());
    do {
      Space(true);
      MIRAGE_TRY_ASSIGN(const Part part, Sequence(depth));
      nfa_.Link(start, part.start);
      nfa_.Link(part.end, end);
    } while (TakeBar());
    return Part{start, end};
  }

  // Also a bar at the beginning of the next line.
  bool TakeBar() {
    const size_t begin = at_;
    Space(true);
    if (Take('|')) return true;
    at_ = begin;
    return false;
  }

  // A sequence ends where no item begins; the body of a rule with its line, unless in a group.
  Result<Part> Sequence(int depth) {
    MIRAGE_TRY_ASSIGN(const uint32_t start, AddNode());
    Part whole{start, start};
    // After `::=` or a bar that ends its line, a name may belong to the next rule.
    while (!AtEnd() && !At('|') && !At(')') && !At('\n') && !(depth == 0 && AtRuleHead())) {
      MIRAGE_TRY_ASSIGN(const Part part, Repeated(depth));
      nfa_.Link(whole.end, part.start);
      whole.end = part.end;
      Space(depth > 0);
    }
    return whole;
  }

  [[nodiscard]] bool AtRuleHead() {
    if (!AtName()) return false;
    const size_t begin = at_;
    (void)Name();
    Space(false);
    const bool head = std::u32string_view(text_).substr(at_, 3) == U"::=";
    at_ = begin;
    return head;
  }

  // The item is parsed once per repetition, which builds its copies.
  Result<Part> Repeated(int depth) {
    const size_t begin = at_;
    MIRAGE_TRY_ASSIGN(const Part first, Item(depth));
    const size_t after = at_;
    Space(depth > 0);
    uint32_t low = 1, high = 1;
    MIRAGE_TRY_ASSIGN(const bool repeats, Quantifier(&low, &high));
    if (!repeats) {
      at_ = after;
      return first;
    }
    const size_t end = at_;
    MIRAGE_TRY_ASSIGN(const uint32_t start, AddNode());
    MIRAGE_TRY_ASSIGN(const uint32_t out, AddNode());
    uint32_t last = start;
    const uint32_t copies = high == kUnbounded ? std::max(low, 1u) : high;
    for (uint32_t i = 0; i < copies; ++i) {
      Part copy = first;
      if (i > 0) {
        at_ = begin;
        MIRAGE_TRY_ASSIGN(copy, Item(depth));
      }
      if (i >= low) nfa_.Link(last, out);
      nfa_.Link(last, copy.start);
      last = copy.end;
      if (i + 1 == copies && high == kUnbounded) {
        MIRAGE_TRY_ASSIGN(last, AddNode());
        nfa_.Link(copy.end, last);
        nfa_.Link(last, copy.start);
      }
    }
    nfa_.Link(last, out);
    at_ = end;
    return Part{start, out};
  }

  Result<bool> Quantifier(uint32_t* low, uint32_t* high) {
    if (Take('*')) {
      *low = 0;
      *high = kUnbounded;
    } else if (Take('+')) {
      *high = kUnbounded;
    } else if (Take('?')) {
      *low = 0;
    } else if (Take('{')) {
      Space(false);
      MIRAGE_TRY_ASSIGN(*low, Count());
      *high = *low;
      Space(false);
      if (Take(',')) {
        Space(false);
        *high = kUnbounded;
        if (!At('}')) {
          MIRAGE_TRY_ASSIGN(*high, Count());
        }
        Space(false);
      }
      if (!Take('}')) return Bad("a '}' is expected");
      if (*low > *high) return Bad("a repetition whose least is above its most");
    } else {
      return false;
    }
    return true;
  }

  Result<uint32_t> Count() {
    const size_t begin = at_;
    uint64_t value = 0;
    for (; !AtEnd() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
      value = std::min<uint64_t>(value * 10 + (text_[at_] - '0'), UINT32_MAX);
    if (at_ == begin) return Bad("a number is expected");
    if (value > kMaxRepeat)
      return Fail(Code::kUnsupported, Place(begin) + "a repetition of " + std::to_string(value) +
                                          " is above " + std::to_string(kMaxRepeat));
    return static_cast<uint32_t>(value);
  }

  Result<Part> Item(int depth) {
    if (At('"')) return Literal();
    if (At('[')) return Class();
    if (Take('(')) {
      MIRAGE_TRY_ASSIGN(const Part part, Alternatives(depth + 1));
      if (!Take(')')) return Bad("a ')' is expected");
      return part;
    }
    MIRAGE_TRY_ASSIGN(const uint32_t start, AddNode());
    MIRAGE_TRY_ASSIGN(const uint32_t end, AddNode());
    if (Take('.')) {
      nfa_.Chars(start, CharSet::Any(), end);
    } else if (AtName()) {
      const size_t begin = at_;
      MIRAGE_TRY_ASSIGN(const uint32_t number, Number(Name(), begin));
      nfa_.Calls(start, number, end);
    } else if (At('<') || At('!')) {
      return Unsupported("tokens in a grammar are not supported");
    } else if (At('*') || At('+') || At('?') || At('{')) {
      return Bad("a repetition with nothing before it");
    } else {
      return Bad("'" + Utf8(text_.substr(at_, 1)) + "' begins no item");
    }
    return Part{start, end};
  }

  Result<Part> Literal() {
    const size_t begin = at_++;
    MIRAGE_TRY_ASSIGN(const uint32_t start, AddNode());
    Part whole{start, start};
    while (!Take('"')) {
      MIRAGE_TRY_ASSIGN(const char32_t c, Character(begin, "the text"));
      MIRAGE_TRY_ASSIGN(const uint32_t next, AddNode());
      nfa_.Chars(whole.end, CharSet{{c, c}}, next);
      whole.end = next;
    }
    return whole;
  }

  Result<Part> Class() {
    const size_t begin = at_++;
    const bool negated = Take('^');
    CharSet set;
    while (!Take(']')) {
      MIRAGE_TRY_ASSIGN(const char32_t low, Character(begin, "the class"));
      char32_t high = low;
      if (At('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        MIRAGE_TRY_ASSIGN(high, Character(begin, "the class"));
        if (low > high) return Bad("a range that runs backwards");
      }
      set.Add(low, high);
    }
    MIRAGE_TRY_ASSIGN(const uint32_t start, AddNode());
    MIRAGE_TRY_ASSIGN(const uint32_t end, AddNode());
    nfa_.Chars(start, negated ? set.Complement() : set, end);
    return Part{start, end};
  }

  // A character of the text or class that begins at `begin`, escapes resolved.
  Result<char32_t> Character(size_t begin, const char* what) {
    if (AtEnd()) return BadAt(begin, std::string(what) + " that begins here does not end");
    const char32_t c = text_[at_++];
    if (c != '\\') return c;
    if (AtEnd()) return BadAt(begin, std::string(what) + " that begins here does not end");
    const char32_t escape = text_[at_++];
    switch (escape) {
      case 'n':
        return U'\n';
      case 'r':
        return U'\r';
      case 't':
        return U'\t';
      case '"':
      case '\\':
      case '[':
      case ']':
        return escape;
      case 'x':
        return Hex(2);
      case 'u':
        return Hex(4);
      case 'U':
        return Hex(8);
      default:
        --at_;
        return Bad("unknown escape '\\" + Utf8(text_.substr(at_, 1)) + "'");
    }
  }

  Result<char32_t> Hex(size_t digits) {
    const size_t begin = at_;
    uint64_t value = 0;
    for (size_t i = 0; i < digits; ++i, ++at_) {
      const char32_t c = AtEnd() ? 0 : text_[at_];
      if (c >= '0' && c <= '9')
        value = value * 16 + (c - '0');
      else if ((c | 32) >= 'a' && (c | 32) <= 'f')
        value = value * 16 + ((c | 32) - 'a' + 10);
      else
        return Bad(std::to_string(digits) + " hexadecimal digits are expected");
    }
    if (value > kMaxCodePoint || (value >= 0xD800 && value <= 0xDFFF))
      return BadAt(begin, "no such code point");
    return static_cast<char32_t>(value);
  }

  std::u32string text_;
  size_t at_ = 0;
  Nfa nfa_;  // of the rule being parsed
  uint32_t nodes_ = 0;
  Work work_;
  std::vector<Named> rules_;
  std::map<std::string, uint32_t> numbers_;
};

}  // namespace

Result<Automaton> CompileGbnf(std::string_view text) {
  if (text.size() > kMaxGbnfBytes)
    return Fail(Code::kUnsupported, "the grammar has " + std::to_string(text.size()) +
                                        " bytes, more than " + std::to_string(kMaxGbnfBytes));
  std::optional<std::u32string> points = CodePoints(text);
  if (!points) return Fail(Code::kInvalidArgument, "the grammar is not UTF-8");
  return Parser(*std::move(points)).Compile();
}

}  // namespace mirage::grammar
