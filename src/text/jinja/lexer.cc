// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>

#include "text/jinja/characters.h"
#include "text/jinja/errors.h"

namespace mirage::text::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

bool IsDigitByte(char c) { return c >= '0' && c <= '9'; }
bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || IsDigitByte(c);
}

size_t SkipSpace(std::string_view text, size_t at) {
  while (at < text.size()) {
    size_t next = at;
    if (!IsSpace(DecodeUtf8(text, &next))) break;
    at = next;
  }
  return at;
}

size_t StripSpaceBefore(std::string_view text, size_t begin, size_t end) {
  while (end > begin) {
    const size_t previous = PreviousUtf8(text, end);
    size_t at = previous;
    if (!IsSpace(DecodeUtf8(text, &at))) break;
    end = previous;
  }
  return end;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> Run() {
    while (at_ < source_.size()) MIRAGE_TRY(LexRoot());
    Emit(TokenKind::kEnd, at_, at_);
    return std::move(tokens_);
  }

 private:
  bool StartsWith(size_t at, std::string_view text) const {
    return source_.substr(std::min(at, source_.size()), text.size()) == text;
  }

  tl::unexpected<Error> Bad(std::string message) {
    return Wrong("template line " + std::to_string(LineAt(at_)) + ": " + std::move(message));
  }

  // Lines are asked for in increasing positions.
  uint32_t LineAt(size_t at) {
    line_ += static_cast<uint32_t>(std::count(source_.begin() + static_cast<ptrdiff_t>(counted_),
                                              source_.begin() + static_cast<ptrdiff_t>(at), '\n'));
    counted_ = at;
    return line_;
  }

  void Emit(TokenKind kind, size_t begin, size_t end) {
    tokens_.push_back({kind, LineAt(begin), source_.substr(begin, end - begin)});
  }

  // The data before a tag whose opening braces are at `tag`.
  void EmitData(size_t tag, char sign, bool is_variable) {
    size_t end = tag;
    if (sign == '-') {
      end = StripSpaceBefore(source_, at_, tag);
    } else if (sign != '+' && !is_variable) {
      const size_t newline = source_.substr(at_, tag - at_).rfind('\n');
      const size_t line_begin = newline == kNone ? at_ : at_ + newline + 1;
      const bool on_new_line = newline != kNone || at_ == 0 || source_[at_ - 1] == '\n';
      if (on_new_line && SkipSpace(source_.substr(0, tag), line_begin) == tag) end = line_begin;
    }
    if (end > at_) Emit(TokenKind::kData, at_, end);
  }

  // The next "{%", "{{" or "{#", or npos.
  size_t FindTag() const {
    for (size_t at = source_.find('{', at_); at != kNone; at = source_.find('{', at + 1)) {
      const char next = at + 1 < source_.size() ? source_[at + 1] : '\0';
      if (next == '%' || next == '{' || next == '#') return at;
    }
    return kNone;
  }

  Status LexRoot() {
    const size_t tag = FindTag();
    if (tag == kNone) {
      Emit(TokenKind::kData, at_, source_.size());
      at_ = source_.size();
      return {};
    }
    const char type = source_[tag + 1];
    const char next = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const char sign = next == '-' || next == '+' ? next : '\0';
    EmitData(tag, sign, type == '{');
    at_ = tag + 2 + (sign != '\0');
    if (type == '#') return LexComment();
    if (type == '%' && AtRawBegin()) return LexRaw();
    Emit(type == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, tag, at_);
    return LexExpression(type == '{');
  }

  Status LexComment() {
    const size_t close = source_.find("#}", at_);
    if (close == kNone) return Bad("missing end of comment tag");
    const char sign = close > at_ ? source_[close - 1] : '\0';
    at_ = AfterBlockEnd(close + 2, sign);
    return {};
  }

  // Where the data behind a block's end begins.
  size_t AfterBlockEnd(size_t at, char sign) const {
    if (sign == '-') return SkipSpace(source_, at);
    if (sign != '+' && StartsWith(at, "\n")) return at + 1;
    return at;
  }

  bool AtRawBegin() {
    const size_t name = SkipSpace(source_, at_);
    if (!StartsWith(name, "raw")) return false;
    const size_t end = SkipSpace(source_, name + 3);
    if (StartsWith(end, "-%}")) {
      raw_begin_ = SkipSpace(source_, end + 3);
      return true;
    }
    raw_begin_ = end + 2;
    return StartsWith(end, "%}");
  }

  Status LexRaw() {
    at_ = raw_begin_;
    for (size_t tag = source_.find("{%", at_); tag != kNone; tag = source_.find("{%", tag + 1)) {
      const char next = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      const char sign = next == '-' || next == '+' ? next : '\0';
      const size_t name = SkipSpace(source_, tag + 2 + (sign != '\0'));
      if (!StartsWith(name, "endraw")) continue;
      const size_t end = SkipSpace(source_, name + 6);
      const char end_sign = StartsWith(end, "-%}") || StartsWith(end, "+%}") ? source_[end] : '\0';
      const size_t close = end + (end_sign != '\0');
      if (!StartsWith(close, "%}")) continue;
      EmitData(tag, sign, false);
      at_ = AfterBlockEnd(close + 2, end_sign);
      return {};
    }
    return Bad("missing end of raw directive");
  }

  // The tokens up to and with the tag's end.
  Status LexExpression(bool is_variable) {
    std::vector<char> open;  // closing brackets that are due
    while (at_ < source_.size()) {
      if (open.empty() && LexTagEnd(is_variable)) return {};
      const size_t after_space = SkipSpace(source_, at_);
      if (after_space != at_) {
        at_ = after_space;
      } else if (!LexNumber() && !LexName() && !LexString()) {
        MIRAGE_TRY(LexOperator(&open));
      }
    }
    return {};  // the parser finds the end of the template where it wants a tag's end
  }

  bool LexTagEnd(bool is_variable) {
    const std::string_view close = is_variable ? "}}" : "%}";
    const char c = source_[at_];
    const char sign = c == '-' || (c == '+' && !is_variable) ? c : '\0';
    const size_t at = at_ + (sign != '\0');
    if (!StartsWith(at, close)) return false;
    Emit(is_variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd, at_, at + 2);
    at_ = is_variable && sign == '\0' ? at + 2 : AfterBlockEnd(at + 2, sign);
    return true;
  }

  // \d+ with single underscores between digits; returns `at` if there is none.
  template <typename IsDigit>
  size_t SkipDigits(size_t at, IsDigit is_digit) const {
    size_t end = at;
    while (end < source_.size()) {
      const bool separated = source_[end] == '_' && end > at && end + 1 < source_.size();
      const size_t digit = end + separated;
      if (!is_digit(source_[digit])) break;
      end = digit + 1;
    }
    return end;
  }

  bool LexNumber() {
    if (!IsDigitByte(source_[at_])) return false;
    if (LexFloat()) return true;
    const auto prefixed = [&](char marker, auto is_digit) -> size_t {
      if (source_[at_] != '0' || at_ + 1 >= source_.size() || (source_[at_ + 1] | 32) != marker) {
        return at_;
      }
      const size_t first = at_ + 2 + StartsWith(at_ + 2, "_");
      const size_t end = first < source_.size() ? SkipDigits(first, is_digit) : first;
      return end > first ? end : at_;
    };
    size_t end = prefixed('b', [](char c) { return c == '0' || c == '1'; });
    if (end == at_) end = prefixed('o', [](char c) { return c >= '0' && c <= '7'; });
    if (end == at_) {
      end = prefixed('x',
                     [](char c) { return IsDigitByte(c) || ((c | 32) >= 'a' && (c | 32) <= 'f'); });
    }
    if (end == at_) {
      // A leading zero takes only zeros, so that "007" is not one number.
      const bool zeros = source_[at_] == '0';
      end = SkipDigits(at_, [&](char c) { return zeros ? c == '0' : IsDigitByte(c); });
    }
    Emit(TokenKind::kInteger, at_, end);
    at_ = end;
    return true;
  }

  bool LexFloat() {
    if (at_ > 0 && source_[at_ - 1] == '.') return false;
    const size_t whole = SkipDigits(at_, IsDigitByte);
    size_t end = whole;
    if (StartsWith(whole, ".")) {
      const size_t fraction = SkipDigits(whole + 1, IsDigitByte);
      if (fraction > whole + 1) end = fraction;
    }
    if (end < source_.size() && (source_[end] | 32) == 'e') {
      const size_t digits = end + 1 + (StartsWith(end + 1, "+") || StartsWith(end + 1, "-"));
      const size_t exponent = SkipDigits(digits, IsDigitByte);
      if (exponent > digits) end = exponent;
    }
    if (end == whole) return false;
    Emit(TokenKind::kFloat, at_, end);
    at_ = end;
    return true;
  }

  bool LexName() {
    size_t end = at_;
    while (end < source_.size() && IsNameByte(source_[end])) ++end;
    if (end == at_) return false;
    Emit(TokenKind::kName, at_, end);
    at_ = end;
    return true;
  }

  bool LexString() {
    const char quote = source_[at_];
    if (quote != '\'' && quote != '"') return false;
    for (size_t end = at_ + 1; end < source_.size(); ++end) {
      if (source_[end] == '\\') {
        ++end;
      } else if (source_[end] == quote) {
        Emit(TokenKind::kString, at_, end + 1);
        at_ = end + 1;
        return true;
      }
    }
    return false;
  }

  Status LexOperator(std::vector<char>* open) {
    static constexpr std::array<std::string_view, 6> kDouble = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr std::string_view kSingle = "+-/*%~[](){}><=.:|,;";
    const bool is_double = std::any_of(kDouble.begin(), kDouble.end(),
                                       [&](std::string_view op) { return StartsWith(at_, op); });
    const char c = source_[at_];
    if (!is_double && kSingle.find(c) == kNone) {
      return Bad("unexpected char '" + std::string(source_.substr(at_, Utf8Length(c))) + "'");
    }
    if (!is_double) {
      if (c == '(') open->push_back(')');
      if (c == '[') open->push_back(']');
      if (c == '{') open->push_back('}');
      if (c == ')' || c == ']' || c == '}') {
        if (open->empty()) return Bad(std::string("unexpected '") + c + "'");
        if (open->back() != c) {
          return Bad(std::string("unexpected '") + c + "', expected '" + open->back() + "'");
        }
        open->pop_back();
      }
    }
    Emit(TokenKind::kOperator, at_, at_ + 1 + is_double);
    at_ += 1 + is_double;
    return {};
  }

  std::string_view source_;
  size_t at_ = 0;
  size_t raw_begin_ = 0;
  uint32_t line_ = 1;
  size_t counted_ = 0;  // line_ is the line of this position
  std::vector<Token> tokens_;
};

// The value of `count` digits of base 16 at `at`, or a negative number.
int64_t HexValue(std::string_view text, size_t at, size_t count) {
  if (text.size() - at < count) return -1;
  int64_t value = 0;
  for (const char c : text.substr(at, count)) {
    const int digit = IsDigitByte(c)                       ? c - '0'
                      : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                           : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

}  // namespace

std::string NormalizeSource(std::string_view source) {
  std::string normal;
  normal.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      normal.push_back(source[i]);
      continue;
    }
    normal.push_back('\n');
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!normal.empty() && normal.back() == '\n') normal.pop_back();
  return normal;
}

Result<std::vector<Token>> Tokenize(std::string_view source) { return Lexer(source).Run(); }

Result<std::string> DecodeString(const Token& token) {
  static constexpr std::string_view kLetters = "abfnrtv\\'\"";
  static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
  const auto bad = [&](std::string_view what) {
    return Wrong("template line " + std::to_string(token.line) + ": " + std::string(what));
  };
  const std::string_view text = token.text.substr(1, token.text.size() - 2);
  std::string value;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      value.push_back(text[i]);
      continue;
    }
    const char c = text[++i];  // a literal never ends in a lone backslash
    if (const size_t letter = kLetters.find(c); letter != kNone) {
      value.push_back(kMeanings[letter]);
    } else if (c == '\n') {
      continue;  // a continued line
    } else if (c >= '0' && c <= '7') {
      uint32_t octal = 0;
      const size_t end = std::min(i + 3, text.size());
      for (; i < end && text[i] >= '0' && text[i] <= '7'; ++i) {
        octal = octal * 8 + static_cast<uint32_t>(text[i] - '0');
      }
      --i;
      AppendUtf8(octal, &value);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      const int64_t point = HexValue(text, i + 1, digits);
      if (point < 0) return bad("truncated \\" + std::string(1, c) + " escape");
      if (point > 0x10FFFF) return bad("illegal Unicode character in an escape");
      if (point >= 0xD800 && point <= 0xDFFF) return bad("a lone surrogate in an escape");
      AppendUtf8(static_cast<uint32_t>(point), &value);
      i += digits;
    } else if (c == 'N') {
      return bad("\\N escapes are not supported");
    } else {
      value.push_back('\\');
      value.push_back(c);
    }
  }
  return value;
}

}  // namespace mirage::text::jinja
