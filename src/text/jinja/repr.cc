// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/repr.h"

#include <charconv>
#include <cmath>

#include "text/jinja/characters.h"
#include "text/jinja/cursor.h"
#include "text/jinja/errors.h"

namespace mirage::text::jinja {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

// Deep enough for any value; a namespace that holds itself is the one that reaches it.
constexpr int kMaxReprDepth = static_cast<int>(kMaxValueDepth) + 1;

Status AppendReprAt(Runtime& runtime, const Value& value, int depth, TextBuilder* out);

std::string Escape(uint32_t c) {
  const int digits = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
  std::string escape = digits == 2 ? "\\x" : digits == 4 ? "\\u" : "\\U";
  for (int i = digits - 1; i >= 0; --i) escape.push_back(kHexDigits[c >> (4 * i) & 0xF]);
  return escape;
}

Status AppendTextRepr(Runtime& runtime, const Text& text, TextBuilder* out) {
  MIRAGE_TRY(runtime.budget().StepBytes(text.size()));
  const std::string_view bytes = text.bytes();
  const bool double_quotes =
      bytes.find('\'') != std::string_view::npos && bytes.find('"') == std::string_view::npos;
  const std::string_view quote = double_quotes ? "\"" : "'";
  out->Append(quote, Origin::kTemplate);
  size_t plain = 0;  // where the part that needs no escape begins
  for (size_t at = 0; at < bytes.size();) {
    const size_t begin = at;
    const uint32_t c = DecodeUtf8(bytes, &at);
    std::string escape;
    if (c == '\\' || (c < 0x80 && static_cast<char>(c) == quote[0])) {
      escape = {'\\', static_cast<char>(c)};
    } else if (c == '\n') {
      escape = "\\n";
    } else if (c == '\r') {
      escape = "\\r";
    } else if (c == '\t') {
      escape = "\\t";
    } else if (!IsPrintable(c)) {
      escape = Escape(c);
    } else {
      continue;
    }
    out->Append(text, plain, begin);
    out->Append(escape, text.OriginAt(begin));
    plain = at;
  }
  out->Append(text, plain, bytes.size());
  out->Append(quote, Origin::kTemplate);
  return {};
}

Status AppendItems(Runtime& runtime, const std::vector<Value>& items, int depth, TextBuilder* out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out->Append(", ", Origin::kTemplate);
    MIRAGE_TRY(AppendReprAt(runtime, items[i], depth, out));
  }
  return {};
}

Status AppendDict(Runtime& runtime, const Dict& dict, int depth, TextBuilder* out) {
  out->Append("{", Origin::kTemplate);
  bool first = true;
  for (const auto& [key, value] : dict.entries) {
    if (!first) out->Append(", ", Origin::kTemplate);
    first = false;
    MIRAGE_TRY(AppendReprAt(runtime, key, depth, out));
    out->Append(": ", Origin::kTemplate);
    MIRAGE_TRY(AppendReprAt(runtime, value, depth, out));
  }
  out->Append("}", Origin::kTemplate);
  return {};
}

Status AppendView(Runtime& runtime, const Value& value, int depth, TextBuilder* out) {
  out->Append(TypeName(value), Origin::kTemplate);
  out->Append("([", Origin::kTemplate);
  MIRAGE_TRY_ASSIGN(const std::vector<Value> items, Collect(runtime, value));
  MIRAGE_TRY(AppendItems(runtime, items, depth, out));
  out->Append("])", Origin::kTemplate);
  return {};
}

Status AppendNamespace(Runtime& runtime, const Namespace& name_space, int depth, TextBuilder* out) {
  out->Append("<Namespace {", Origin::kTemplate);
  bool first = true;
  for (const auto& [name, value] : name_space.members) {
    if (!first) out->Append(", ", Origin::kTemplate);
    first = false;
    // A name may have come by namespace(**mapping), and its mark is not kept.
    out->Append("'" + name + "'", Origin::kInput);
    out->Append(": ", Origin::kTemplate);
    MIRAGE_TRY(AppendReprAt(runtime, value, depth, out));
  }
  out->Append("}>", Origin::kTemplate);
  return {};
}

std::string RangeRepr(const Range& range) {
  std::string text = "range(" + std::to_string(range.start) + ", " + std::to_string(range.stop);
  if (range.step != 1) text += ", " + std::to_string(range.step);
  return text + ")";
}

Status AppendReprAt(Runtime& runtime, const Value& value, int depth, TextBuilder* out) {
  MIRAGE_TRY(runtime.Step());
  if (depth > kMaxReprDepth) return LimitReached("value depth", kMaxValueDepth);
  const auto plain = [&](std::string_view text) -> Status {
    out->Append(text, Origin::kTemplate);
    return {};
  };
  switch (value.kind()) {
    case Kind::kUndefined:
      return plain("Undefined");
    case Kind::kNone:
      return plain("None");
    case Kind::kBool:
      return plain(value.as_bool() ? "True" : "False");
    case Kind::kInt:
      return plain(std::to_string(value.as_int()));
    case Kind::kFloat:
      return plain(FloatRepr(value.as_float()));
    case Kind::kString:
      if (value.is_markup()) {
        MIRAGE_TRY(plain("Markup("));
        MIRAGE_TRY(AppendTextRepr(runtime, value.text(), out));
        return plain(")");
      }
      return AppendTextRepr(runtime, value.text(), out);
    case Kind::kList:
      MIRAGE_TRY(plain("["));
      MIRAGE_TRY(AppendItems(runtime, value.items(), depth + 1, out));
      return plain("]");
    case Kind::kTuple:
      MIRAGE_TRY(plain("("));
      MIRAGE_TRY(AppendItems(runtime, value.items(), depth + 1, out));
      return plain(value.items().size() == 1 ? ",)" : ")");
    case Kind::kDict:
      return AppendDict(runtime, value.dict(), depth + 1, out);
    case Kind::kDictView:
      return AppendView(runtime, value, depth + 1, out);
    case Kind::kRange:
      return plain(RangeRepr(value.range()));
    case Kind::kNamespace:
      return AppendNamespace(runtime, value.name_space(), depth + 1, out);
    case Kind::kFunction:
      return plain("<built-in function " + std::string(value.function().native.name) + ">");
    default:
      // Python prints an address here; there is none worth printing.
      return plain("<" + std::string(TypeName(value)) + " object>");
  }
}

}  // namespace

Status AppendStr(Runtime& runtime, const Value& value, TextBuilder* out) {
  if (value.is_undefined()) return {};
  if (value.is_string()) {
    out->Append(value.text());
    return {};
  }
  return AppendRepr(runtime, value, out);
}

Status AppendRepr(Runtime& runtime, const Value& value, TextBuilder* out) {
  return AppendReprAt(runtime, value, 0, out);
}

Result<TextPtr> ToText(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value.text_ptr();
  TextBuilder builder(runtime.budget());
  MIRAGE_TRY(AppendStr(runtime, value, &builder));
  return builder.Finish();
}

Result<std::string> Quoted(Runtime& runtime, const Value& value) {
  TextBuilder builder(runtime.budget());
  MIRAGE_TRY(AppendRepr(runtime, value, &builder));
  MIRAGE_TRY_ASSIGN(const TextPtr text, builder.Finish());
  return std::string(text->bytes());
}

std::string FloatRepr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[32];
  const auto scientific =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view shortest(buffer, static_cast<size_t>(scientific.ptr - buffer));
  const size_t e = shortest.find('e');
  int exponent = 0;
  std::from_chars(shortest.data() + e + (shortest[e + 1] == '+' ? 2 : 1),
                  shortest.data() + shortest.size(), exponent);
  if (exponent < -4 || exponent >= 16) return std::string(shortest);

  std::string digits;
  for (const char c : shortest.substr(0, e)) {
    if (c >= '0' && c <= '9') digits.push_back(c);
  }
  const auto whole = static_cast<size_t>(exponent + 1);  // digits before the point
  std::string text = std::signbit(value) ? "-" : "";
  if (exponent < 0) {
    return text + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  if (digits.size() <= whole) return text + digits + std::string(whole - digits.size(), '0') + ".0";
  return text + digits.substr(0, whole) + "." + digits.substr(whole);
}

}  // namespace mirage::text::jinja
