// SPDX-License-Identifier: Apache-2.0
// Filters that make text of text.
#include <algorithm>
#include <optional>

#include "text/jinja/arguments.h"
#include "text/jinja/characters.h"
#include "text/jinja/compare.h"
#include "text/jinja/cursor.h"
#include "text/jinja/errors.h"
#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/repr.h"
#include "text/jinja/text_ops.h"

namespace mirage::text::jinja {
namespace {

// What most filters do first: str(value), but a markup string stays one.
Result<Value> Soft(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value;
  MIRAGE_TRY_ASSIGN(TextPtr text, ToText(runtime, value));
  return Value::String(std::move(text));
}

Result<Value> WithCase(Runtime& runtime, const Value& value, const CallArguments& call, Case to,
                       const char* name) {
  MIRAGE_TRY(Bound::To(name, call, {}));
  MIRAGE_TRY_ASSIGN(const Value soft, Soft(runtime, value));
  MIRAGE_TRY_ASSIGN(TextPtr text, ChangeCase(runtime.budget(), soft.text(), to));
  return Value::String(std::move(text), soft.is_markup());
}

Result<Value> Upper(Runtime& runtime, const Value& value, const CallArguments& call) {
  return WithCase(runtime, value, call, Case::kUpper, "upper()");
}

Result<Value> Lower(Runtime& runtime, const Value& value, const CallArguments& call) {
  return WithCase(runtime, value, call, Case::kLower, "lower()");
}

Result<Value> Capitalize(Runtime& runtime, const Value& value, const CallArguments& call) {
  return WithCase(runtime, value, call, Case::kCapitalize, "capitalize()");
}

Result<Value> Title(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("title()", call, {}));
  MIRAGE_TRY_ASSIGN(const Value soft, Soft(runtime, value));
  MIRAGE_TRY_ASSIGN(TextPtr text, TitleWords(runtime.budget(), soft.text()));
  return Value::String(std::move(text));
}

Result<Value> Trim(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("trim()", call, {"chars"}));
  MIRAGE_TRY_ASSIGN(const Value soft, Soft(runtime, value));
  TextPtr chars;
  if (bound.GetUnlessNone(0) != nullptr) {
    MIRAGE_TRY_ASSIGN(chars, bound.String(0));
  }
  MIRAGE_TRY_ASSIGN(TextPtr text, Strip(runtime.budget(), soft.text(), chars.get(), Side::kBoth));
  return Value::String(std::move(text), soft.is_markup());
}

Result<Value> ReplaceFilter(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("replace()", call, {"old", "new", "count"}, 2));
  MIRAGE_TRY_ASSIGN(const TextPtr text, ToText(runtime, value));
  MIRAGE_TRY_ASSIGN(const TextPtr from, ToText(runtime, bound.At(0)));
  MIRAGE_TRY_ASSIGN(const TextPtr to, ToText(runtime, bound.At(1)));
  int64_t count = -1;
  if (bound.GetUnlessNone(2) != nullptr) {
    MIRAGE_TRY_ASSIGN(count, bound.Int(2, -1));
  }
  MIRAGE_TRY_ASSIGN(TextPtr replaced, Replace(runtime.budget(), *text, *from, *to, count));
  return Value::String(std::move(replaced));
}

Result<Value> StringFilter(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("string()", call, {}));
  return Soft(runtime, value);
}

Result<Value> Safe(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("safe()", call, {}));
  MIRAGE_TRY_ASSIGN(TextPtr text, ToText(runtime, value));
  return Value::String(std::move(text), true);
}

Result<Value> Escape(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("escape()", call, {}));
  if (value.is_markup()) return value;
  MIRAGE_TRY_ASSIGN(const TextPtr text, ToText(runtime, value));
  MIRAGE_TRY_ASSIGN(TextPtr escaped, EscapeHtml(runtime.budget(), *text));
  return Value::String(std::move(escaped), true);
}

Result<Value> ForceEscape(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("forceescape()", call, {}));
  MIRAGE_TRY_ASSIGN(const TextPtr text, ToText(runtime, value));
  MIRAGE_TRY_ASSIGN(TextPtr escaped, EscapeHtml(runtime.budget(), *text));
  return Value::String(std::move(escaped), true);
}

Result<Value> Center(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("center()", call, {"width"}));
  MIRAGE_TRY_ASSIGN(const int64_t width, bound.Int(0, 80));
  MIRAGE_TRY_ASSIGN(const Value soft, Soft(runtime, value));
  MIRAGE_TRY_ASSIGN(TextPtr text,
                    Pad(runtime.budget(), soft.text(), width, *ConstantText(" "), Align::kCenter));
  return Value::String(std::move(text), soft.is_markup());
}

Result<Value> Indent(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound, Bound::To("indent()", call, {"width", "first", "blank"}));
  if (value.is_undefined()) return Wrong(value.undefined().message);
  if (!value.is_string()) {
    return Wrong("indent() needs a string, not " + std::string(TypeName(value)));
  }
  Budget& budget = runtime.budget();
  TextPtr indention;
  if (bound.Get(0) != nullptr && bound.At(0).is_string()) {
    indention = bound.At(0).text_ptr();
  } else {
    MIRAGE_TRY_ASSIGN(const int64_t width, bound.Int(0, 4));
    MIRAGE_TRY_ASSIGN(indention, Repeat(budget, *ConstantText(" "), width));
  }
  const bool first = bound.Truth(1, false);
  const bool blank = bound.Truth(2, false);
  const TextPtr newline = ConstantText("\n");
  MIRAGE_TRY_ASSIGN(const TextPtr ended, Concat(budget, value.text(), *newline));
  MIRAGE_TRY_ASSIGN(const std::vector<TextPtr> lines, SplitLines(budget, *ended, false));
  TextBuilder out(budget);
  if (first) out.Append(*indention);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      out.Append(*newline);
      if (blank || lines[i]->size() > 0) out.Append(*indention);
    }
    out.Append(*lines[i]);
  }
  MIRAGE_TRY_ASSIGN(TextPtr text, out.Finish());
  return Value::String(std::move(text), value.is_markup());
}

Result<Value> Truncate(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY_ASSIGN(const Bound bound,
                    Bound::To("truncate()", call, {"length", "killwords", "end", "leeway"}));
  MIRAGE_TRY_ASSIGN(const int64_t length, bound.Int(0, 255));
  TextPtr end = ConstantText("...");
  if (bound.Get(2) != nullptr) {
    MIRAGE_TRY_ASSIGN(end, bound.String(2));
  }
  int64_t leeway = 5;
  if (bound.GetUnlessNone(3) != nullptr) {
    MIRAGE_TRY_ASSIGN(leeway, bound.Int(3, 5));
  }
  const auto end_length = static_cast<int64_t>(end->code_points());
  if (length < end_length) {
    return Wrong("expected length >= " + std::to_string(end_length) + ", got " +
                 std::to_string(length));
  }
  if (leeway < 0) return Wrong("expected leeway >= 0, got " + std::to_string(leeway));
  // What is short enough stays as it is, of whatever type it is.
  const std::optional<int64_t> characters = LengthOf(value);
  if (characters && (*characters <= length || *characters - length <= leeway)) return value;
  if (!value.is_string()) {
    return Wrong("truncate() needs a string, not " + std::string(TypeName(value)));
  }
  const Text& text = value.text();
  MIRAGE_TRY(runtime.budget().StepBytes(text.WalkBytes()));
  size_t cut = text.ByteOffset(static_cast<size_t>(length - end_length));
  if (!bound.Truth(1, false)) {
    const size_t space = text.bytes().substr(0, cut).rfind(' ');
    if (space != std::string_view::npos) cut = space;
  }
  TextBuilder out(runtime.budget());
  out.Append(text, 0, cut);
  out.Append(*end);
  MIRAGE_TRY_ASSIGN(TextPtr truncated, out.Finish());
  return Value::String(std::move(truncated), value.is_markup());
}

Result<Value> WordCount(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("wordcount()", call, {}));
  MIRAGE_TRY_ASSIGN(const TextPtr text, ToText(runtime, value));
  MIRAGE_TRY(runtime.budget().StepBytes(text->size()));
  int64_t words = 0;
  bool in_word = false;
  for (size_t at = 0; at < text->size();) {
    const uint32_t c = DecodeUtf8(text->bytes(), &at);
    const bool word = c == '_' || IsAlpha(c) || IsNumeric(c);
    words += word && !in_word;
    in_word = word;
  }
  return Value::Int(words);
}

Result<Value> FormatFilter(Runtime& runtime, const Value& value, const CallArguments& call) {
  if (!call.positional.empty() && !call.named.empty()) {
    return Wrong("can't handle positional and keyword arguments at the same time");
  }
  MIRAGE_TRY_ASSIGN(const Value soft, Soft(runtime, value));
  if (call.named.empty()) {
    MIRAGE_TRY_ASSIGN(const Value arguments, runtime.Tuple(call.positional));
    return FormatPercent(runtime, soft, arguments);
  }
  DictBuilder builder;
  for (const auto& [name, argument, origin] : call.named) {
    MIRAGE_TRY_ASSIGN(Value key, runtime.String(name, origin));
    builder.Add(std::move(key), argument);
  }
  MIRAGE_TRY_ASSIGN(const Value arguments, runtime.MakeDict(std::move(builder)));
  return FormatPercent(runtime, soft, arguments);
}

// Percent-encodes all but letters, digits and `kept`.
Status AppendQuoted(Runtime& runtime, const Value& value, bool in_query, TextBuilder* out) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  MIRAGE_TRY_ASSIGN(const TextPtr text, ToText(runtime, value));
  const std::string_view kept = in_query ? "_.-~" : "_.-~/";
  for (size_t i = 0; i < text->size(); ++i) {
    const char c = text->bytes()[i];
    const bool alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    const Origin origin = text->OriginAt(i);
    if (alnum || kept.find(c) != std::string_view::npos) {
      out->Append(std::string_view(&c, 1), origin);
    } else if (in_query && c == ' ') {
      out->Append("+", origin);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out->Append(std::string{'%', kHex[byte >> 4], kHex[byte & 0xF]}, origin);
    }
  }
  return {};
}

Result<Value> UrlEncode(Runtime& runtime, const Value& value, const CallArguments& call) {
  MIRAGE_TRY(Bound::To("urlencode()", call, {}));
  TextBuilder out(runtime.budget());
  if (value.is_string() || !Cursor::IsIterable(value)) {
    MIRAGE_TRY(AppendQuoted(runtime, value, false, &out));
  } else {
    Value pairs = value;
    if (value.is(Kind::kDict)) {
      MIRAGE_TRY_ASSIGN(pairs, runtime.View(value, DictPart::kItems));
    }
    MIRAGE_TRY_ASSIGN(const std::vector<Value> items, Collect(runtime, pairs));
    for (size_t i = 0; i < items.size(); ++i) {
      MIRAGE_TRY_ASSIGN(const std::vector<Value> pair, Collect(runtime, items[i]));
      if (pair.size() != 2) return Wrong("urlencode() needs pairs");
      if (i > 0) out.Append("&", Origin::kTemplate);
      MIRAGE_TRY(AppendQuoted(runtime, pair[0], true, &out));
      out.Append("=", Origin::kTemplate);
      MIRAGE_TRY(AppendQuoted(runtime, pair[1], true, &out));
    }
  }
  MIRAGE_TRY_ASSIGN(TextPtr text, out.Finish());
  return Value::String(std::move(text));
}

constexpr NativeFunction kFilters[] = {
    {"capitalize", Capitalize},
    {"center", Center},
    {"e", Escape},
    {"escape", Escape},
    {"forceescape", ForceEscape},
    {"format", FormatFilter},
    {"indent", Indent},
    {"lower", Lower},
    {"replace", ReplaceFilter},
    {"safe", Safe},
    {"string", StringFilter},
    {"title", Title},
    {"trim", Trim},
    {"truncate", Truncate},
    {"upper", Upper},
    {"urlencode", UrlEncode},
    {"wordcount", WordCount},
};

}  // namespace

std::span<const NativeFunction> TextFilters() { return kFilters; }

}  // namespace mirage::text::jinja
