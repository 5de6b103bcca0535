// SPDX-License-Identifier: Apache-2.0
// '{0.name[key]!r:>8}'.format(...): fields by position, order and name, conversions, and the spec
// of
// [[fill]align][sign][#][0][width][grouping][.precision][type], which may hold fields of its own.
#include <algorithm>
#include <optional>

#include "text/jinja/attributes.h"
#include "text/jinja/characters.h"
#include "text/jinja/errors.h"
#include "text/jinja/format.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/repr.h"
#include "text/jinja/text_ops.h"

namespace mirage::text::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

bool IsDigits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Saturates: an index or a width that large is refused by whoever uses it.
int64_t ParseDigits(std::string_view digits) {
  int64_t value = 0;
  for (const char c : digits) value = std::min<int64_t>(value * 10 + (c - '0'), int64_t{1} << 40);
  return value;
}

Result<FormatSpec> ParseSpec(const Text& given) {
  const std::string_view text = given.bytes();
  FormatSpec spec;
  size_t at = 0;
  const auto current = [&] { return at < text.size() ? text[at] : '\0'; };
  const auto take = [&](std::string_view any) -> char {
    if (at < text.size() && any.find(text[at]) != kNone) return text[at++];
    return '\0';
  };
  const size_t behind_fill = text.empty() ? 0 : Utf8Length(text[0]);
  if (behind_fill < text.size() && std::string_view("<>=^").find(text[behind_fill]) != kNone) {
    spec.fill = text.substr(0, behind_fill);
    spec.fill_origin = given.OriginAt(0);
    at = behind_fill;
  }
  spec.align = take("<>=^");
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != '\0';
  if (current() == '0') {
    ++at;
    if (spec.align == '\0') {
      spec.fill = "0";
      spec.align = '=';
    }
  }
  const auto digits = [&] {
    const size_t begin = at;
    while (current() >= '0' && current() <= '9') ++at;
    return text.substr(begin, at - begin);
  };
  spec.width = ParseDigits(digits());
  spec.grouping = take(",_");
  if (take(".") != '\0') {
    const std::string_view precision = digits();
    if (precision.empty()) return Wrong("Format specifier missing precision");
    spec.precision = ParseDigits(precision);
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) return Wrong("Invalid format specifier");
  return spec;
}

class BracesFormatter {
 public:
  BracesFormatter(Runtime& runtime, const Value& format, const CallArguments& arguments)
      : runtime_(runtime), format_(format), arguments_(arguments) {}

  Result<Value> Run() {
    MIRAGE_TRY_ASSIGN(TextPtr result, Expand(format_.text(), 0, format_.text().size(), 2));
    return Value::String(std::move(result), format_.is_markup());
  }

 private:
  // `levels` is how deep fields may still nest: one in the spec of another.
  Result<TextPtr> Expand(const Text& text, size_t begin, size_t end, int levels) {
    if (levels == 0) return Wrong("Max string recursion exceeded");
    const std::string_view bytes = text.bytes().substr(0, end);
    TextBuilder out(runtime_.budget());
    size_t plain = begin;
    for (size_t at = begin; at < end;) {
      const char c = bytes[at];
      if (c != '{' && c != '}') {
        ++at;
        continue;
      }
      MIRAGE_TRY(runtime_.Step());
      out.Append(text, plain, at);
      if (at + 1 < end && bytes[at + 1] == c) {
        out.Append(text, at, at + 1);
        at += 2;
      } else if (c == '}') {
        return Wrong("Single '}' encountered in format string");
      } else {
        MIRAGE_TRY_ASSIGN(const size_t close, FindClose(bytes, at + 1));
        MIRAGE_TRY_ASSIGN(const TextPtr field, FormatField(text, at + 1, close, levels));
        out.Append(*field);
        at = close + 1;
      }
      plain = at;
    }
    out.Append(text, plain, end);
    return out.Finish();
  }

  static Result<size_t> FindClose(std::string_view bytes, size_t at) {
    int open = 1;
    for (; at < bytes.size(); ++at) {
      if (bytes[at] == '{') ++open;
      if (bytes[at] == '}' && --open == 0) return at;
    }
    return Wrong("expected '}' before end of string");
  }

  Result<TextPtr> FormatField(const Text& text, size_t begin, size_t end, int levels) {
    const std::string_view bytes = text.bytes();
    size_t name_end = begin;
    for (bool in_key = false; name_end < end; ++name_end) {
      const char c = bytes[name_end];
      if (c == '[') in_key = true;
      if (c == ']') in_key = false;
      if (!in_key && (c == '!' || c == ':')) break;
    }
    MIRAGE_TRY_ASSIGN(Value value, GetField(bytes.substr(begin, name_end - begin)));
    size_t at = name_end;
    char conversion = '\0';
    if (at < end && bytes[at] == '!') {
      conversion = at + 1 < end ? bytes[at + 1] : '\0';
      at += 2;
      if (at < end && bytes[at] != ':') return Wrong("expected ':' after conversion specifier");
    }
    TextPtr spec = ConstantText("");
    if (at < end) {
      MIRAGE_TRY_ASSIGN(spec, Expand(text, at + 1, end, levels - 1));
    }
    MIRAGE_TRY_ASSIGN(value, Convert(conversion, std::move(value)));
    return FormatValue(value, *spec);
  }

  Result<Value> Convert(char conversion, Value value) {
    if (conversion == '\0') return value;
    TextBuilder out(runtime_.budget());
    if (conversion == 's') {
      MIRAGE_TRY(AppendStr(runtime_, value, &out));
    } else if (conversion == 'r') {
      MIRAGE_TRY(AppendRepr(runtime_, value, &out));
    } else {
      return Unsupported(std::string("the conversion !") + conversion);
    }
    MIRAGE_TRY_ASSIGN(TextPtr text, out.Finish());
    return Value::String(std::move(text));
  }

  // "0.name[key]"
  Result<Value> GetField(std::string_view field) {
    const size_t first_end = std::min(field.find_first_of(".["), field.size());
    MIRAGE_TRY_ASSIGN(Value value, GetArgument(field.substr(0, first_end)));
    for (size_t at = first_end; at < field.size();) {
      MIRAGE_TRY(runtime_.Step());
      if (field[at] == '.') {
        const size_t end = std::min(field.find_first_of(".[", at + 1), field.size());
        if (end == at + 1) return Wrong("Empty attribute in format string");
        MIRAGE_TRY_ASSIGN(const Value name, runtime_.String(field.substr(at + 1, end - at - 1)));
        MIRAGE_TRY_ASSIGN(value, GetAttribute(runtime_, value, name));
        at = end;
      } else if (field[at] == '[') {
        const size_t end = field.find(']', at);
        if (end == kNone) return Wrong("Missing ']' in format string");
        const std::string_view key = field.substr(at + 1, end - at - 1);
        if (key.empty()) return Wrong("Empty attribute in format string");
        MIRAGE_TRY_ASSIGN(const Value name, runtime_.String(key));
        MIRAGE_TRY_ASSIGN(
            value, GetItem(runtime_, value, IsDigits(key) ? Value::Int(ParseDigits(key)) : name));
        at = end + 1;
      } else {
        return Wrong("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  Result<Value> GetArgument(std::string_view name) {
    if (!name.empty() && !IsDigits(name)) {
      if (const Value* value = arguments_.FindNamed(name)) return *value;
      return Wrong("KeyError: '" + std::string(name) + "'");
    }
    const bool automatic = name.empty();
    if (automatic_.value_or(automatic) != automatic) {
      return Wrong("cannot switch between manual field specification and automatic numbering");
    }
    automatic_ = automatic;
    const auto index = automatic ? next_++ : static_cast<uint64_t>(ParseDigits(name));
    if (index >= arguments_.positional.size()) {
      return Wrong("Replacement index " + std::to_string(index) +
                   " out of range for positional args tuple");
    }
    return arguments_.positional[index];
  }

  Result<TextPtr> FormatValue(const Value& value, const Text& spec_text) {
    MIRAGE_TRY_ASSIGN(TextPtr text, FormatPlain(value, spec_text));
    if (!format_.is_markup() || value.is_markup()) return text;
    return EscapeHtml(runtime_.budget(), *text);
  }

  Result<TextPtr> FormatPlain(const Value& value, const Text& spec_text) {
    if (spec_text.size() == 0) return ToText(runtime_, value);
    Budget& budget = runtime_.budget();
    const std::string type_name(TypeName(value));
    MIRAGE_TRY_ASSIGN(const FormatSpec spec, ParseSpec(spec_text));
    const auto unknown_type = [&] {
      return Wrong(std::string("Unknown format code '") + spec.type + "' for object of type '" +
                   type_name + "'");
    };
    const auto one_of = [&](std::string_view types) { return types.find(spec.type) != kNone; };
    if (value.is_string()) {
      if (spec.type != '\0' && spec.type != 's') return unknown_type();
      if (spec.sign != '-' || spec.alternate || spec.grouping != '\0' ||
          (spec.align == '=' && spec.fill != "0")) {
        return Wrong("a sign, '#', '=' or grouping is not allowed in string format specifier");
      }
      FormatSpec plain = spec;
      if (plain.align == '=') plain.align = '<';
      return FormatText(budget, plain, value.text());
    }
    if (value.is_integral() && (spec.type == '\0' || one_of("bdoxX"))) {
      if (spec.precision >= 0) return Wrong("Precision not allowed in integer format specifier");
      return FormatInteger(budget, spec, value.as_int());
    }
    if (value.is_number()) {
      if (spec.type != '\0' && !one_of("eEfFgG%")) return unknown_type();
      return FormatFloat(budget, spec, value.as_float());
    }
    return Wrong("unsupported format string passed to " + type_name + ".__format__");
  }

  Runtime& runtime_;
  const Value& format_;
  const CallArguments& arguments_;
  std::optional<bool> automatic_;  // how the fields met so far were numbered
  uint64_t next_ = 0;
};

}  // namespace

Result<Value> FormatBraces(Runtime& runtime, const Value& format, const CallArguments& arguments) {
  return BracesFormatter(runtime, format, arguments).Run();
}

}  // namespace mirage::text::jinja
