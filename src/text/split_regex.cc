// SPDX-License-Identifier: Apache-2.0
#include "text/split_regex.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <limits>
#include <string>
#include <utility>

namespace mirage::text {
namespace {

constexpr uint32_t kUnbounded = std::numeric_limits<uint32_t>::max();
constexpr uint32_t kNotARun =
    std::numeric_limits<uint32_t>::max();  // Choice::run_end of a plain choice

// The pattern as a tree. A group that repeats is a kRepeat over it; a class that repeats is one
// kClass.
struct Node {
  enum Kind { kClass, kSequence, kAlternatives, kRepeat, kNotAhead, kLineEnd } kind;
  uint16_t set = 0;  // kClass, kNotAhead
  uint32_t min = 1, max = 1;
  bool possessive = false;
  std::vector<Node> children = {};
};

struct NamedMask {
  std::string_view name;
  CategoryMask mask;
};
constexpr NamedMask kNamedMasks[] = {
    {"L", kLetters},
    {"M", kMarks},
    {"N", kNumbers},
    {"P", kPunctuation},
    {"S", kSymbols},
    {"Lu", Bit(Category::kLu)},
    {"Ll", Bit(Category::kLl)},
    {"Lt", Bit(Category::kLt)},
    {"Lm", Bit(Category::kLm)},
    {"Lo", Bit(Category::kLo)},
};

}  // namespace

bool CharSet::Evaluate(char32_t code_point) const {
  const Properties properties = PropertiesOf(code_point);
  bool in = properties.in(categories_) || (white_space_ && properties.white_space()) ||
            (han_ && properties.han());
  for (size_t i = 0; !in && i < ranges_.size(); ++i)
    in = ranges_[i].first <= code_point && code_point <= ranges_[i].last;
  return in != negated_ && !(without_han_ && properties.han());
}

void CharSet::Add(const CharSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  categories_ |= other.categories_;
  white_space_ |= other.white_space_;
  han_ |= other.han_;
}

void CharSet::Freeze() {
  for (char32_t c = 0; c < 128; ++c)
    if (Evaluate(c)) ascii_[c >> 6] |= uint64_t{1} << (c & 63);
}

// Patterns are constants of this library, so anything outside the subset is our own defect:
// kInternal.
class SplitRegexCompiler {
 public:
  explicit SplitRegexCompiler(std::string_view pattern) : pattern_(pattern) {}

  Result<SplitRegex> Run() {
    MIRAGE_TRY_ASSIGN(const Node root, ParseAlternatives());
    if (at_ < pattern_.size()) return Unexpected("end of pattern");
    MIRAGE_TRY(Emit(root, true));
    Put({SplitRegex::Op::kMatch});
    for (CharSet& set : regex_.sets_) set.Freeze();
    return std::move(regex_);
  }

 private:
  using Op = SplitRegex::Op;

  [[nodiscard]] tl::unexpected<Error> Unexpected(std::string_view wanted) const {
    return Fail(Code::kInternal, "pre-tokenizer pattern '" + std::string(pattern_) + "' at byte " +
                                     std::to_string(at_) + ": expected " + std::string(wanted));
  }

  [[nodiscard]] bool Next(std::string_view token) const {
    return pattern_.substr(at_).starts_with(token);
  }
  bool Take(std::string_view token) {
    if (!Next(token)) return false;
    at_ += token.size();
    return true;
  }

  uint16_t AddSet(CharSet set) {
    regex_.sets_.push_back(std::move(set));
    return static_cast<uint16_t>(regex_.sets_.size() - 1);
  }

  Result<Node> ParseAlternatives() {
    Node node{Node::kAlternatives};
    do {
      MIRAGE_TRY_ASSIGN(Node sequence, ParseSequence());
      node.children.push_back(std::move(sequence));
    } while (Take("|"));
    return node;
  }

  Result<Node> ParseSequence() {
    Node node{Node::kSequence};
    while (at_ < pattern_.size() && !Next("|") && !Next(")")) {
      MIRAGE_TRY_ASSIGN(Node atom, ParseAtom());
      MIRAGE_TRY_ASSIGN(Node quantified, ParseQuantifier(std::move(atom)));
      node.children.push_back(std::move(quantified));
    }
    return node;
  }

  Result<Node> ParseAtom() {
    if (Take("(?!\\S)")) {  // the one lookahead the published patterns need here
      CharSet non_space;
      non_space.white_space_ = true;
      non_space.negated_ = true;
      return Node{Node::kNotAhead, AddSet(std::move(non_space))};
    }
    if (Take("$")) return Node{Node::kLineEnd};
    if (Next("(")) return ParseGroup();
    CharSet set;
    if (Take("[")) {
      MIRAGE_TRY_ASSIGN(set, ParseClass());
    } else if (Take("\\S")) {
      set.white_space_ = true;
      set.negated_ = true;
    } else {
      MIRAGE_TRY(ParseMember(&set));
    }
    return Node{Node::kClass, AddSet(std::move(set))};
  }

  Result<Node> ParseGroup() {
    const bool outer = ignore_case_;
    if (Take("(?i:"))
      ignore_case_ = true;
    else if (!Take("(?:") && (Next("(?") || !Take("(")))
      return Unexpected("(, (?: or (?i:");
    MIRAGE_TRY_ASSIGN(Node node, ParseAlternatives());
    ignore_case_ = outer;
    if (!Take(")")) return Unexpected("')'");
    return node;
  }

  Result<Node> ParseQuantifier(Node atom) {
    uint32_t min = 1, max = 1;
    if (Take("?")) {
      min = 0;
    } else if (Take("*")) {
      min = 0, max = kUnbounded;
    } else if (Take("+")) {
      max = kUnbounded;
    } else if (Take("{")) {
      MIRAGE_TRY_ASSIGN(min, ParseNumber());
      max = min;
      if (Take(",")) {
        MIRAGE_TRY_ASSIGN(max, ParseNumber());
      }
      if (!Take("}")) return Unexpected("'}'");
    } else {
      return atom;
    }
    const bool possessive = Take("+");
    if (atom.kind == Node::kClass) {
      atom.min = min, atom.max = max, atom.possessive = possessive;
      return atom;
    }
    if (possessive) return Unexpected("a class before a possessive quantifier");
    Node repeat{Node::kRepeat};
    repeat.min = min, repeat.max = max;
    repeat.children.push_back(std::move(atom));
    return repeat;
  }

  Result<uint32_t> ParseNumber() {
    uint32_t value = 0;
    const size_t begin = at_;
    while (at_ < pattern_.size() && pattern_[at_] >= '0' && pattern_[at_] <= '9' && value < 100000)
      value = value * 10 + static_cast<uint32_t>(pattern_[at_++] - '0');
    if (at_ == begin) return Unexpected("a number");
    return value;
  }

  // After '[': members up to the closing ']', nested classes joined in, && [^\p{Han}] taken out.
  Result<CharSet> ParseClass() {
    CharSet set;
    set.negated_ = Take("^");
    while (!Take("]")) {
      if (at_ >= pattern_.size()) return Unexpected("']'");
      if (Take("&&[^\\p{Han}]")) {
        set.without_han_ = true;
      } else if (Take("[")) {
        MIRAGE_TRY_ASSIGN(const CharSet nested, ParseClass());
        if (nested.negated_ || nested.without_han_) return Unexpected("a plain nested class");
        set.Add(nested);
      } else {
        MIRAGE_TRY(ParseMember(&set));
      }
    }
    return set;
  }

  // One literal, escape, property or (in a class) range.
  Status ParseMember(CharSet* set) {
    if (Take("\\s")) {
      set->white_space_ = true;
      return {};
    }
    if (Take("\\d")) {
      set->categories_ |= Bit(Category::kNd);
      return {};
    }
    if (Take("\\p{")) return ParseProperty(set);
    MIRAGE_TRY_ASSIGN(const char32_t first, ParseLiteral());
    char32_t last = first;
    if (in_range_position()) {
      ++at_;
      MIRAGE_TRY_ASSIGN(last, ParseLiteral());
      if (last < first) return Unexpected("a rising range");
    }
    set->Add(first, last);
    if (ignore_case_) AddOtherCases(first, set);
    return {};
  }

  // A '-' between two members of a class; outside classes patterns hold no unescaped '-'.
  [[nodiscard]] bool in_range_position() const {
    return Next("-") && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != ']';
  }

  // Case folding of the ASCII letters; the long s and the Kelvin sign fold to them as well.
  static void AddOtherCases(char32_t letter, CharSet* set) {
    const char32_t lower = letter | 0x20;
    if (lower < 'a' || lower > 'z') return;
    set->Add(lower, lower);
    set->Add(lower - 0x20, lower - 0x20);
    if (lower == 's') set->Add(0x17F, 0x17F);
    if (lower == 'k') set->Add(0x212A, 0x212A);
  }

  Status ParseProperty(CharSet* set) {
    const size_t close = pattern_.find('}', at_);
    if (close == std::string_view::npos) return Unexpected("'}'");
    const std::string_view name = pattern_.substr(at_, close - at_);
    if (name == "Han") {
      set->han_ = true;
    } else {
      const auto* known = std::find_if(std::begin(kNamedMasks), std::end(kNamedMasks),
                                       [&](const NamedMask& named) { return named.name == name; });
      if (known == std::end(kNamedMasks)) return Unexpected("a known property");
      set->categories_ |= known->mask;
    }
    at_ = close + 1;
    return {};
  }

  Result<char32_t> ParseLiteral() {
    if (at_ >= pattern_.size()) return Unexpected("a character");
    if (Take("\\r")) return U'\r';
    if (Take("\\n")) return U'\n';
    if (Take("\\t")) return U'\t';
    if (Take("\\")) {
      if (at_ >= pattern_.size() || std::isalnum(static_cast<unsigned char>(pattern_[at_])))
        return Unexpected("an escaped sign");
    }
    return DecodeUtf8(pattern_, &at_);
  }

  size_t Put(SplitRegex::Instruction instruction) {
    regex_.program_.push_back(instruction);
    return regex_.program_.size() - 1;
  }
  void Aim(size_t instruction) {
    regex_.program_[instruction].target = static_cast<uint16_t>(regex_.program_.size());
  }

  // `tail`: nothing follows this node but the match itself, so a repetition there never needs to
  // give back.
  Status Emit(const Node& node, bool tail) {
    switch (node.kind) {
      case Node::kClass:
        if (node.min == 1 && node.max == 1) {
          Put({Op::kSet, node.set});
        } else {
          if (node.max == kUnbounded && node.min > 1) return Unexpected("no {n,}");
          Put({tail || node.possessive ? Op::kRunAtomic : Op::kRun, node.set, 0, node.min,
               node.max});
        }
        return {};
      case Node::kNotAhead:
        Put({Op::kNotAhead, node.set});
        return {};
      case Node::kLineEnd:
        Put({Op::kLineEnd});
        return {};
      case Node::kSequence:
        for (size_t i = 0; i < node.children.size(); ++i)
          MIRAGE_TRY(Emit(node.children[i], tail && i + 1 == node.children.size()));
        return {};
      case Node::kAlternatives:
        return EmitAlternatives(node, tail);
      case Node::kRepeat:
        return EmitRepeat(node, tail);
    }
    return {};
  }

  Status EmitAlternatives(const Node& node, bool tail) {
    std::vector<size_t> exits;
    for (size_t i = 0; i < node.children.size(); ++i) {
      const bool last = i + 1 == node.children.size();
      const size_t choice = last ? 0 : Put({Op::kChoice});
      MIRAGE_TRY(Emit(node.children[i], tail));
      if (last) break;
      exits.push_back(Put({Op::kJump}));
      Aim(choice);
    }
    for (const size_t exit : exits) Aim(exit);
    return {};
  }

  Status EmitRepeat(const Node& node, bool tail) {
    const Node& body = node.children[0];
    for (uint32_t i = 0; i < node.min; ++i) MIRAGE_TRY(Emit(body, tail && i + 1 == node.max));
    if (node.max == kUnbounded) {
      const size_t loop = regex_.program_.size();
      if (tail) Put({Op::kCommit});
      const size_t choice = Put({Op::kChoice});
      MIRAGE_TRY(Emit(body, false));
      Put({Op::kJump, 0, static_cast<uint16_t>(loop)});
      Aim(choice);
      return {};
    }
    std::vector<size_t> choices;
    for (uint32_t i = node.min; i < node.max; ++i) {
      choices.push_back(Put({Op::kChoice}));
      MIRAGE_TRY(Emit(body, tail && i + 1 == node.max));
    }
    for (const size_t choice : choices) Aim(choice);
    return {};
  }

  std::string_view pattern_;
  size_t at_ = 0;
  bool ignore_case_ = false;
  SplitRegex regex_;
};

Result<SplitRegex> SplitRegex::Compile(std::string_view pattern) {
  return SplitRegexCompiler(pattern).Run();
}

size_t SplitRegex::heap_bytes() const {
  size_t bytes = sets_.capacity() * sizeof(CharSet) + program_.capacity() * sizeof(Instruction);
  for (const CharSet& set : sets_) bytes += set.heap_bytes();
  return bytes;
}

void SplitRegex::Begin(Scratch* scratch) const {
  scratch->runs_.assign(sets_.size(), {});
  scratch->failed_.assign(program_.size(), {});
}

size_t SplitRegex::RunEnd(std::string_view text, size_t at, uint16_t set, Scratch* scratch) const {
  Scratch::Run& run = scratch->runs_[set];
  if (run.begin <= at && at <= run.end) return run.end;
  size_t end = at;
  while (end < text.size()) {
    size_t next = end;
    if (!sets_[set].Contains(DecodeUtf8(text, &next))) break;
    end = next;
    ++scratch->steps_;
  }
  run = {static_cast<uint32_t>(at), static_cast<uint32_t>(end)};
  return end;
}

// Moves *at to the best end of the run and leaves a choice for the shorter ones. False when none is
// left to try.
bool SplitRegex::EnterRun(std::string_view text, size_t pc, size_t* at, Scratch* scratch) const {
  const Instruction& run = program_[pc];
  size_t low = *at, end = *at;
  if (run.max == kUnbounded) {
    end = RunEnd(text, *at, run.set, scratch);
    if (run.min == 1) {
      if (end == *at) return false;
      low += Utf8Length(text[*at]);
    }
  } else {
    uint32_t count = 0;
    while (count < run.max && end < text.size()) {
      size_t next = end;
      if (!sets_[run.set].Contains(DecodeUtf8(text, &next))) break;
      end = next;
      ++scratch->steps_;
      if (++count == run.min) low = end;
    }
    if (count < run.min) return false;
  }
  const size_t run_end = end;
  if (run.op == Op::kRun) {
    // What follows depends on the end alone: an end that failed for one start fails for every
    // start.
    const Scratch::Failed& failed = scratch->failed_[pc];
    if (run.max == kUnbounded && failed.known && failed.run_end == run_end) {
      if (failed.down_to <= low) return false;
      end = PreviousUtf8(text, failed.down_to);
    }
    scratch->choices_.push_back({static_cast<uint32_t>(pc), static_cast<uint32_t>(low),
                                 static_cast<uint32_t>(end), static_cast<uint32_t>(run_end)});
  }
  *at = end;
  return true;
}

size_t SplitRegex::MatchAt(std::string_view text, size_t begin, Scratch* scratch) const {
  std::vector<Scratch::Choice>& choices = scratch->choices_;
  choices.clear();
  size_t pc = 0, at = begin;
  const auto in = [&](uint16_t set, size_t* next) {
    ++scratch->steps_;
    return *next < text.size() && sets_[set].Contains(DecodeUtf8(text, next));
  };
  for (;;) {
    const Instruction& instruction = program_[pc];
    bool ok = true;
    switch (instruction.op) {
      case Op::kSet: {
        size_t next = at;
        ok = in(instruction.set, &next);
        if (ok) at = next;
        ++pc;
        break;
      }
      case Op::kRun:
      case Op::kRunAtomic:
        ok = EnterRun(text, pc, &at, scratch);
        ++pc;
        break;
      case Op::kChoice:
        choices.push_back({instruction.target, 0, static_cast<uint32_t>(at), kNotARun});
        ++pc;
        break;
      case Op::kJump:
        pc = instruction.target;
        break;
      case Op::kCommit:
        choices.clear();
        ++pc;
        break;
      case Op::kNotAhead: {
        size_t next = at;
        ok = !in(instruction.set, &next);
        ++pc;
        break;
      }
      case Op::kLineEnd:
        ok = at == text.size() || text[at] == '\n';
        ++pc;
        break;
      case Op::kMatch:
        return at;
    }
    if (!ok && !Backtrack(text, &pc, &at, scratch)) return kNoMatch;
  }
}

// Goes back to the latest choice with something left to try.
bool SplitRegex::Backtrack(std::string_view text, size_t* pc, size_t* at, Scratch* scratch) const {
  std::vector<Scratch::Choice>& choices = scratch->choices_;
  while (!choices.empty()) {
    ++scratch->steps_;
    Scratch::Choice& choice = choices.back();
    if (choice.run_end == kNotARun) {
      *pc = choice.pc;
      *at = choice.at;
      choices.pop_back();
      return true;
    }
    if (program_[choice.pc].max == kUnbounded)
      scratch->failed_[choice.pc] = {choice.run_end, choice.at, true};
    if (choice.at > choice.low) {
      choice.at = static_cast<uint32_t>(PreviousUtf8(text, choice.at));
      *pc = choice.pc + 1;
      *at = choice.at;
      return true;
    }
    choices.pop_back();
  }
  return false;
}

}  // namespace mirage::text
