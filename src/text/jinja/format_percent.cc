// SPDX-License-Identifier: Apache-2.0
// '%s' % value: conversions s r a d i u o x X e E f F g G c and %, flags, width, precision, `*`,
// %(key)s.
#include <algorithm>
#include <cmath>
#include <utility>

#include "text/jinja/characters.h"
#include "text/jinja/errors.h"
#include "text/jinja/format.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/repr.h"
#include "text/jinja/text_ops.h"

namespace mirage::text::jinja {
namespace {

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& format, const Value& arguments)
      : runtime_(runtime),
        format_(format),
        arguments_(arguments),
        is_tuple_(arguments.is(Kind::kTuple)),
        out_(runtime.budget()) {}

  Result<Value> Run() {
    const Text& text = format_.text();
    const std::string_view bytes = text.bytes();
    size_t plain = 0;
    for (size_t at = bytes.find('%'); at != std::string_view::npos; at = bytes.find('%', plain)) {
      MIRAGE_TRY(runtime_.Step());
      out_.Append(text, plain, at);
      at_ = at + 1;
      MIRAGE_TRY(Convert());
      plain = at_;
    }
    out_.Append(text, plain, bytes.size());
    MIRAGE_TRY(CheckAllUsed());
    MIRAGE_TRY_ASSIGN(TextPtr result, out_.Finish());
    return Value::String(std::move(result), format_.is_markup());
  }

 private:
  std::string_view bytes() const { return format_.bytes(); }
  char Current() const { return at_ < bytes().size() ? bytes()[at_] : '\0'; }

  Result<Value> NextArgument() {
    if (!is_tuple_) {
      if (next_++ == 0) return arguments_;
    } else if (next_ < arguments_.items().size()) {
      return arguments_.items()[next_++];
    }
    return Wrong("not enough arguments for format string");
  }

  Status CheckAllUsed() const {
    const bool subscriptable = arguments_.is(Kind::kDict) || arguments_.is(Kind::kList) ||
                               arguments_.is(Kind::kRange) || arguments_.is_undefined();
    const bool unused = is_tuple_ ? next_ < arguments_.items().size() : next_ == 0;
    if (used_keys_ || subscriptable || !unused) return {};
    return Wrong("not all arguments converted during string formatting");
  }

  Result<Value> ArgumentByKey() {
    if (!arguments_.is(Kind::kDict)) return Wrong("format requires a mapping");
    const size_t begin = ++at_;
    int open = 1;
    while (at_ < bytes().size() && open > 0) {
      open += Current() == '(' ? 1 : Current() == ')' ? -1 : 0;
      ++at_;
    }
    if (open > 0) return Wrong("incomplete format key");
    const std::string_view key = bytes().substr(begin, at_ - 1 - begin);
    const Value* value = arguments_.dict().Find(key);
    if (value == nullptr) return Wrong("KeyError: '" + std::string(key) + "'");
    used_keys_ = true;
    return *value;
  }

  // A number in the format, or `*` for the next argument.
  Result<int64_t> ParseNumber() {
    if (Current() == '*') {
      ++at_;
      MIRAGE_TRY_ASSIGN(const Value argument, NextArgument());
      if (!argument.is_integral()) return Wrong("* wants int");
      return argument.as_int();
    }
    int64_t number = 0;
    for (; Current() >= '0' && Current() <= '9'; ++at_) {
      number = std::min<int64_t>(number * 10 + (Current() - '0'), int64_t{1} << 40);
    }
    return number;
  }

  Status Convert() {
    FormatSpec spec;
    bool keyed = false;
    Value value;
    if (Current() == '(') {
      MIRAGE_TRY_ASSIGN(value, ArgumentByKey());
      keyed = true;
    }
    bool left = false;
    bool zeros = false;
    for (bool more = true; more; at_ += more) {
      switch (Current()) {
        case '-':
          left = true;
          break;
        case '0':
          zeros = true;
          break;
        case '+':
          spec.sign = '+';
          break;
        case ' ':
          if (spec.sign != '+') spec.sign = ' ';
          break;
        case '#':
          spec.alternate = true;
          break;
        default:
          more = false;
      }
    }
    MIRAGE_TRY_ASSIGN(spec.width, ParseNumber());
    if (spec.width < 0) {
      left = true;
      spec.width = spec.width == INT64_MIN ? INT64_MAX : -spec.width;
    }
    if (Current() == '.') {
      ++at_;
      MIRAGE_TRY_ASSIGN(const int64_t precision, ParseNumber());
      spec.precision = std::max<int64_t>(precision, 0);
    }
    while (Current() == 'h' || Current() == 'l' || Current() == 'L') ++at_;
    if (at_ >= bytes().size()) return Wrong("incomplete format");
    spec.type = bytes()[at_++];
    if (spec.type == '%') {
      out_.Append("%", format_.text().OriginAt(at_ - 1));
      return {};
    }
    if (!keyed) {
      MIRAGE_TRY_ASSIGN(value, NextArgument());
    }
    const bool is_number =
        std::string_view("diuoxXeEfFgG").find(spec.type) != std::string_view::npos;
    spec.align = left ? '<' : is_number && zeros ? '=' : '>';
    if (spec.align == '=') spec.fill = "0";
    MIRAGE_TRY_ASSIGN(const TextPtr text, Format(spec, value));
    out_.Append(*text);
    return {};
  }

  Result<TextPtr> Format(FormatSpec spec, const Value& value) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a':
        return FormatString(spec, value);
      case 'c':
        return FormatCharacter(spec, value);
      case 'd':
      case 'i':
      case 'u':
      case 'o':
      case 'x':
      case 'X':
        return FormatWhole(spec, value);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (!value.is_number()) return WrongType("must be real number", value);
        return FormatFloat(runtime_.budget(), spec, value.as_float());
      default:
        return Wrong(std::string("unsupported format character '") + spec.type + "'");
    }
  }

  static tl::unexpected<Error> WrongType(std::string_view wanted, const Value& value) {
    return Wrong(std::string(wanted) + ", not " + std::string(TypeName(value)));
  }

  Result<TextPtr> FormatWhole(FormatSpec spec, const Value& value) {
    if (value.is_integral()) return FormatInteger(runtime_.budget(), spec, value.as_int());
    const bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
    if (!decimal || !value.is(Kind::kFloat)) {
      return WrongType(std::string("%") + spec.type + " format: a real number is required", value);
    }
    const double whole = std::trunc(value.as_float());
    if (!(std::fabs(whole) < 9.2e18)) return Wrong("cannot convert the float to an integer");
    return FormatInteger(runtime_.budget(), spec, static_cast<int64_t>(whole));
  }

  Result<TextPtr> FormatCharacter(FormatSpec spec, const Value& value) {
    spec.precision = -1;
    if (value.is_string() && value.text().code_points() == 1) {
      return FormatText(runtime_.budget(), spec, value.text());
    }
    if (!value.is_integral()) return Wrong("%c requires int or char");
    const int64_t c = value.as_int();
    if (c < 0 || c > 0x10FFFF) return Wrong("%c arg not in range(0x110000)");
    if (c >= 0xD800 && c <= 0xDFFF) return Wrong("%c of a surrogate is not supported");
    // The number may be the conversation's: no special token may be spelled with it.
    std::string encoded;
    AppendUtf8(static_cast<uint32_t>(c), &encoded);
    MIRAGE_TRY_ASSIGN(const TextPtr text, MakeText(runtime_.budget(), encoded, Origin::kInput));
    return FormatText(runtime_.budget(), spec, *text);
  }

  Result<TextPtr> FormatString(const FormatSpec& spec, const Value& value) {
    if (spec.type == 'a') return Unsupported("the conversion %a");
    TextPtr text;
    if (spec.type == 's') {
      MIRAGE_TRY_ASSIGN(text, ToText(runtime_, value));
    } else {
      TextBuilder repr(runtime_.budget());
      MIRAGE_TRY(AppendRepr(runtime_, value, &repr));
      MIRAGE_TRY_ASSIGN(text, repr.Finish());
    }
    if (format_.is_markup() && !(spec.type == 's' && value.is_markup())) {
      MIRAGE_TRY_ASSIGN(text, EscapeHtml(runtime_.budget(), *text));
    }
    return FormatText(runtime_.budget(), spec, *text);
  }

  Runtime& runtime_;
  const Value& format_;
  const Value& arguments_;
  bool is_tuple_;
  TextBuilder out_;
  size_t at_ = 0;
  size_t next_ = 0;  // arguments taken by position
  bool used_keys_ = false;
};

}  // namespace

Result<Value> FormatPercent(Runtime& runtime, const Value& format, const Value& arguments) {
  return PercentFormatter(runtime, format, arguments).Run();
}

}  // namespace mirage::text::jinja
