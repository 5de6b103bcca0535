// SPDX-License-Identifier: Apache-2.0
#include "grammar/regex.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "grammar/limits.h"
#include "grammar/utf8.h"
#include "text/unicode.h"

namespace mirage::grammar {
namespace {

struct CategoryName {
  std::string_view name, longer;
  text::CategoryMask mask;
};

using text::Category;
using text::MaskOf;
constexpr auto kCategories = std::to_array<CategoryName>({
    {"L", "Letter", text::kLetters},
    {"Lu", "Uppercase_Letter", MaskOf(Category::kLu)},
    {"Ll", "Lowercase_Letter", MaskOf(Category::kLl)},
    {"Lt", "Titlecase_Letter", MaskOf(Category::kLt)},
    {"Lm", "Modifier_Letter", MaskOf(Category::kLm)},
    {"Lo", "Other_Letter", MaskOf(Category::kLo)},
    {"M", "Mark", text::kMarks},
    {"Mn", "Nonspacing_Mark", MaskOf(Category::kMn)},
    {"Mc", "Spacing_Mark", MaskOf(Category::kMc)},
    {"Me", "Enclosing_Mark", MaskOf(Category::kMe)},
    {"N", "Number", text::kNumbers},
    {"Nd", "Decimal_Number", MaskOf(Category::kNd)},
    {"digit", "digit", MaskOf(Category::kNd)},
    {"Nl", "Letter_Number", MaskOf(Category::kNl)},
    {"No", "Other_Number", MaskOf(Category::kNo)},
    {"P", "Punctuation", text::kPunctuation},
    {"S", "Symbol", text::kSymbols},
    {"Sm", "Math_Symbol", MaskOf(Category::kSm)},
    {"Sc", "Currency_Symbol", MaskOf(Category::kSc)},
    {"Z", "Separator", MaskOf(Category::kZs, Category::kZl, Category::kZp)},
    {"Zs", "Space_Separator", MaskOf(Category::kZs)},
});

CharSet OfCategories(text::CategoryMask mask) {
  CharSet set;
  char32_t begin = 0;
  bool open = false;
  for (char32_t c = 0; c <= kMaxCodePoint + 1; ++c) {
    const bool in = c <= kMaxCodePoint && text::PropertiesOf(c).in(mask);
    if (in && !open) begin = c;
    if (!in && open) set.Add(begin, c - 1);
    open = in;
  }
  return set;
}

CharSet Digits() { return CharSet{{'0', '9'}}; }
CharSet Words() { return CharSet{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}; }
CharSet Spaces() {
  return CharSet{{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680},
                 {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                 {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
}

// Recursive descent straight into an Nfa: every part has a start and an end node.
class Parser {
 public:
  explicit Parser(std::u32string pattern) : pattern_(std::move(pattern)) {}

  Result<Dfa> Compile(Anchoring anchoring, Work* work) {
    MIRAGE_TRY_ASSIGN(const Part body, Alternatives(0));
    if (at_ < pattern_.size()) return Bad("a ')' without a '('");
    if (anchoring == Anchoring::kWhole) return nfa_.Determinize(body.start, body.end, work);
    MIRAGE_TRY_ASSIGN(const uint32_t start, nfa_.Add());
    MIRAGE_TRY_ASSIGN(const uint32_t end, nfa_.Add());
    nfa_.Chars(start, CharSet::Any(), start);
    nfa_.Link(start, body.start);
    nfa_.Link(body.end, end);
    nfa_.Chars(end, CharSet::Any(), end);
    return nfa_.Determinize(start, end, work);
  }

 private:
  struct Part {
    uint32_t start, end;
  };

  [[nodiscard]] tl::unexpected<Error> Bad(const std::string& what) const {
    return Fail(Code::kInvalidArgument, "position " + std::to_string(at_ + 1) + ": " + what);
  }
  [[nodiscard]] tl::unexpected<Error> Unsupported(const std::string& what) const {
    return Fail(Code::kUnsupported,
                "position " + std::to_string(at_ + 1) + ": " + what + " is not supported");
  }
  [[nodiscard]] bool At(char32_t c) const { return at_ < pattern_.size() && pattern_[at_] == c; }
  [[nodiscard]] bool Take(char32_t c) {
    if (!At(c)) return false;
    ++at_;
    return true;
  }
  [[nodiscard]] bool TakeText(std::u32string_view text) {
    if (std::u32string_view(pattern_).substr(at_, text.size()) != text) return false;
    at_ += text.size();
    return true;
  }

  Result<Part> Empty() {
    MIRAGE_TRY_ASSIGN(const uint32_t node, nfa_.Add());
    return Part{node, node};
  }
  Result<Part> OfSet(const CharSet& set) {
    MIRAGE_TRY_ASSIGN(const uint32_t start, nfa_.Add());
    MIRAGE_TRY_ASSIGN(const uint32_t end, nfa_.Add());
    nfa_.Chars(start, set, end);
    return Part{start, end};
  }
  Result<Part> OfAssertion(Nfa::Assertion assertion) {
    MIRAGE_TRY_ASSIGN(const uint32_t start, nfa_.Add());
    MIRAGE_TRY_ASSIGN(const uint32_t end, nfa_.Add());
    nfa_.Link(start, end, assertion);
    return Part{start, end};
  }

  Result<Part> Alternatives(int depth) {
    if (depth > kMaxNesting)
      return Fail(Code::kUnsupported, "position " + std::to_string(at_ + 1) + ": more than " +
                                          std::to_string(kMaxNesting) + " nested groups");
    MIRAGE_TRY_ASSIGN(const uint32_t start, nfa_.Add());
    MIRAGE_TRY_ASSIGN(const uint32_t end, nfa_.Add());
    do {
      MIRAGE_TRY_ASSIGN(const Part part, Sequence(depth));
      nfa_.Link(start, part.start);
      nfa_.Link(part.end, end);
    } while (Take('|'));
    return Part{start, end};
  }

  Result<Part> Sequence(int depth) {
    MIRAGE_TRY_ASSIGN(Part whole, Empty());
    while (at_ < pattern_.size() && !At('|') && !At(')')) {
      MIRAGE_TRY_ASSIGN(const Part part, Quantified(depth));
      nfa_.Link(whole.end, part.start);
      whole.end = part.end;
    }
    return whole;
  }

  // The atom is parsed once per repetition, which builds its copies.
  Result<Part> Quantified(int depth) {
    const size_t begin = at_;
    MIRAGE_TRY_ASSIGN(const Part first, Atom(depth));
    uint32_t low = 1, high = 1;
    MIRAGE_TRY_ASSIGN(const bool repeats, Quantifier(&low, &high));
    if (!repeats) return first;
    const size_t end = at_;
    if (At('*') || At('+') || At('?') || (At('{') && LooksLikeCount()))
      return Bad("a quantifier after a quantifier");

    MIRAGE_TRY_ASSIGN(Part whole, Empty());
    MIRAGE_TRY_ASSIGN(const uint32_t out, nfa_.Add());
    const uint32_t copies = high == kUnbounded ? std::max(low, 1u) : high;
    for (uint32_t i = 0; i < copies; ++i) {
      Part copy = first;
      if (i > 0) {
        at_ = begin;
        MIRAGE_TRY_ASSIGN(copy, Atom(depth));
      }
      if (i >= low) nfa_.Link(whole.end, out);
      nfa_.Link(whole.end, copy.start);
      if (i + 1 == copies && high == kUnbounded) {
        MIRAGE_TRY_ASSIGN(const uint32_t again, nfa_.Add());
        nfa_.Link(copy.end, again);
        nfa_.Link(again, copy.start);
        copy.end = again;
      }
      whole.end = copy.end;
    }
    nfa_.Link(whole.end, out);
    at_ = end;
    return Part{whole.start, out};
  }

  [[nodiscard]] bool LooksLikeCount() const {
    size_t i = at_ + 1;
    const auto digit = [&] {
      return i < pattern_.size() && pattern_[i] >= '0' && pattern_[i] <= '9';
    };
    if (!digit()) return false;
    while (digit()) ++i;
    if (i < pattern_.size() && pattern_[i] == ',') ++i;
    while (digit()) ++i;
    return i < pattern_.size() && pattern_[i] == '}';
  }

  Result<uint32_t> Number() {
    uint64_t value = 0;
    while (at_ < pattern_.size() && pattern_[at_] >= '0' && pattern_[at_] <= '9') {
      value = std::min<uint64_t>(value * 10 + (pattern_[at_] - '0'), UINT32_MAX);
      ++at_;
    }
    if (value > kMaxRepeat)
      return Fail(Code::kUnsupported, "position " + std::to_string(at_) + ": a repetition of " +
                                          std::to_string(value) + " is above " +
                                          std::to_string(kMaxRepeat));
    return static_cast<uint32_t>(value);
  }

  Result<bool> Quantifier(uint32_t* low, uint32_t* high) {
    if (Take('*')) {
      *low = 0;
      *high = kUnbounded;
    } else if (Take('+')) {
      *high = kUnbounded;
    } else if (Take('?')) {
      *low = 0;
    } else if (At('{') && LooksLikeCount()) {
      ++at_;
      MIRAGE_TRY_ASSIGN(*low, Number());
      *high = *low;
      if (Take(',')) {
        *high = kUnbounded;
        if (!At('}')) {
          MIRAGE_TRY_ASSIGN(*high, Number());
        }
      }
      ++at_;
      if (*low > *high) return Bad("a repetition whose least is above its most");
    } else {
      return false;
    }
    if (At('+')) return Unsupported("a possessive quantifier");
    (void)Take('?');  // lazy: the same language
    return true;
  }

  Result<Part> Atom(int depth) {
    const char32_t c = pattern_[at_];
    switch (c) {
      case '(':
        return Group(depth);
      case '[': {
        MIRAGE_TRY_ASSIGN(const CharSet set, Class());
        return OfSet(set);
      }
      case '.':
        ++at_;
        return OfSet(CharSet{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}.Complement());
      case '^':
        ++at_;
        return OfAssertion(Nfa::Assertion::kBegin);
      case '$':
        ++at_;
        return OfAssertion(Nfa::Assertion::kEnd);
      case '*':
      case '+':
      case '?':
        return Bad("a quantifier with nothing before it");
      case '{':
        if (LooksLikeCount()) return Bad("a quantifier with nothing before it");
        break;
      case '\\': {
        if (at_ + 1 < pattern_.size() && (pattern_[at_ + 1] == 'b' || pattern_[at_ + 1] == 'B'))
          return Unsupported("a word boundary");
        if (TakeText(U"\\A")) return OfAssertion(Nfa::Assertion::kBegin);
        if (TakeText(U"\\z")) return OfAssertion(Nfa::Assertion::kEnd);
        MIRAGE_TRY_ASSIGN(const CharSet set, Escape());
        return OfSet(set);
      }
      default:
        break;
    }
    ++at_;
    return OfSet(CharSet{{c, c}});
  }

  Result<Part> Group(int depth) {
    ++at_;
    if (Take('?')) {
      if (At('=') || At('!')) return Unsupported("look-ahead");
      if (TakeText(U"P<") || (At('<') && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != '=' &&
                              pattern_[at_ + 1] != '!')) {
        while (at_ < pattern_.size() && !At('>')) ++at_;
        if (!Take('>')) return Bad("the name of a group does not end");
      } else if (At('<')) {
        return Unsupported("look-behind");
      } else if (!Take(':')) {
        return Unsupported("a group with flags");
      }
    }
    MIRAGE_TRY_ASSIGN(const Part part, Alternatives(depth + 1));
    if (!Take(')')) return Bad("a '(' without a ')'");
    return part;
  }

  Result<char32_t> Hex(size_t digits) {
    char32_t value = 0;
    for (size_t i = 0; i < digits; ++i, ++at_) {
      const char32_t c = at_ < pattern_.size() ? pattern_[at_] : 0;
      if (c >= '0' && c <= '9')
        value = value * 16 + (c - '0');
      else if ((c | 32) >= 'a' && (c | 32) <= 'f')
        value = value * 16 + ((c | 32) - 'a' + 10);
      else
        return Bad(std::to_string(digits) + " hexadecimal digits are expected");
    }
    return value;
  }

  Result<CharSet> Property(bool negated) {
    if (!Take('{')) return Bad("\\p needs a name in braces");
    std::string name;
    while (at_ < pattern_.size() && !At('}') && pattern_[at_] < 128)
      name += static_cast<char>(pattern_[at_++]);
    if (!Take('}')) return Bad("\\p needs a name in braces");
    for (const char* prefix : {"General_Category=", "gc="})
      if (name.starts_with(prefix)) name.erase(0, std::string_view(prefix).size());
    for (const CategoryName& category : kCategories) {
      if (name != category.name && name != category.longer) continue;
      const auto [set, fresh] = properties_.try_emplace(category.name);
      if (fresh) set->second = OfCategories(category.mask);
      return negated ? set->second.Complement() : set->second;
    }
    return Unsupported("the property '" + name + "'");
  }

  // At a backslash: the set it names; inside a class \b is a backspace.
  Result<CharSet> Escape(bool in_class = false) {
    ++at_;
    if (at_ == pattern_.size()) return Bad("a '\\' at the end");
    const char32_t c = pattern_[at_++];
    const auto single = [](char32_t value) { return CharSet{{value, value}}; };
    switch (c) {
      case 'd':
        return Digits();
      case 'D':
        return Digits().Complement();
      case 'w':
        return Words();
      case 'W':
        return Words().Complement();
      case 's':
        return Spaces();
      case 'S':
        return Spaces().Complement();
      case 't':
        return single('\t');
      case 'n':
        return single('\n');
      case 'v':
        return single('\v');
      case 'f':
        return single('\f');
      case 'r':
        return single('\r');
      case 'p':
      case 'P':
        return Property(c == 'P');
      case 'c': {
        const char32_t letter = at_ < pattern_.size() ? pattern_[at_] | 32 : 0;
        if (letter < 'a' || letter > 'z') return Bad("\\c needs a letter");
        ++at_;
        return single(letter - 'a' + 1);
      }
      case 'x': {
        MIRAGE_TRY_ASSIGN(const char32_t value, Hex(2));
        return single(value);
      }
      case 'u':
        return Unicode();
      case 'b':
        if (in_class) return single('\b');
        break;
      case '0':
        if (at_ == pattern_.size() || pattern_[at_] < '0' || pattern_[at_] > '9') return single(0);
        break;
      default:
        break;
    }
    if (c >= '0' && c <= '9') {
      --at_;
      return Unsupported("a back reference or octal escape");
    }
    if (c == 'k') return Unsupported("a back reference");
    if ((c | 32) >= 'a' && (c | 32) <= 'z')
      return Bad(std::string("unknown escape '\\") + static_cast<char>(c) + "'");
    return single(c);
  }

  Result<CharSet> Unicode() {
    char32_t value = 0;
    if (Take('{')) {
      size_t digits = 0;
      while (at_ + digits < pattern_.size() && pattern_[at_ + digits] != '}') ++digits;
      if (digits == 0 || digits > 6) return Bad("\\u{} needs 1 to 6 hexadecimal digits");
      MIRAGE_TRY_ASSIGN(value, Hex(digits));
      if (!Take('}')) return Bad("\\u{} needs a '}'");
    } else {
      MIRAGE_TRY_ASSIGN(value, Hex(4));
      if (value >= 0xD800 && value < 0xDC00 && TakeText(U"\\u")) {
        MIRAGE_TRY_ASSIGN(const char32_t low, Hex(4));
        if (low < 0xDC00 || low > 0xDFFF) return Bad("half of a surrogate pair");
        value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
      }
    }
    if (value > kMaxCodePoint || (value >= 0xD800 && value <= 0xDFFF))
      return Bad("no such code point");
    return CharSet{{value, value}};
  }

  Result<CharSet> Class() {
    ++at_;
    const bool negated = Take('^');
    CharSet set;
    while (!At(']')) {
      if (at_ >= pattern_.size()) return Bad("a '[' without a ']'");
      if (At('[') && at_ + 1 < pattern_.size() && pattern_[at_ + 1] == ':')
        return Unsupported("a POSIX class");
      MIRAGE_TRY_ASSIGN(const CharSet low, ClassMember());
      if (At('-') && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != ']') {
        ++at_;
        MIRAGE_TRY_ASSIGN(const CharSet high, ClassMember());
        if (!IsSingle(low) || !IsSingle(high)) return Bad("a range needs two characters");
        if (low.ranges()[0].low > high.ranges()[0].low) return Bad("a range that runs backwards");
        set.Add(low.ranges()[0].low, high.ranges()[0].low);
      } else {
        set.Add(low);
      }
    }
    ++at_;
    return negated ? set.Complement() : set;
  }

  [[nodiscard]] static bool IsSingle(const CharSet& set) {
    return set.ranges().size() == 1 && set.ranges()[0].low == set.ranges()[0].high;
  }

  Result<CharSet> ClassMember() {
    if (At('\\')) return Escape(true);
    if (at_ >= pattern_.size()) return Bad("a '[' without a ']'");
    const char32_t c = pattern_[at_++];
    return CharSet{{c, c}};
  }

  std::u32string pattern_;
  size_t at_ = 0;
  Nfa nfa_;
  std::map<std::string_view, CharSet> properties_;  // a walk over all of Unicode each
};

}  // namespace

Result<Dfa> CompileRegex(std::string_view pattern, Anchoring anchoring, Work* work) {
  Work own;
  std::optional<std::u32string> points = CodePoints(pattern);
  if (!points) return Fail(Code::kInvalidArgument, "the pattern is not UTF-8");
  return Parser(*std::move(points)).Compile(anchoring, work != nullptr ? work : &own);
}

}  // namespace mirage::grammar
