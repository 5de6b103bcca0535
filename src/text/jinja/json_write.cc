// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "text/jinja/characters.h"
#include "text/jinja/compare.h"
#include "text/jinja/errors.h"
#include "text/jinja/json.h"
#include "text/jinja/repr.h"

namespace mirage::text::jinja {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

std::string EscapeUnit(uint32_t unit) {
  std::string escape = "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) escape.push_back(kHexDigits[unit >> shift & 0xF]);
  return escape;
}

// Nothing if the character stands for itself.
std::string EscapeInJson(uint32_t c, bool ensure_ascii) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  if (c < 0x20 || (ensure_ascii && c >= 0x7F && c < 0x10000)) return EscapeUnit(c);
  if (!ensure_ascii || c < 0x7F) return {};
  const uint32_t offset = c - 0x10000;
  return EscapeUnit(0xD800 + (offset >> 10)) + EscapeUnit(0xDC00 + (offset & 0x3FF));
}

class Writer {
 public:
  Writer(Runtime& runtime, const JsonStyle& style)
      : runtime_(runtime), style_(style), out_(runtime.budget()) {}

  Result<TextPtr> Run(const Value& value) {
    MIRAGE_TRY(Write(value, 0));
    return out_.Finish();
  }

 private:
  void Plain(std::string_view text) { out_.Append(text, Origin::kTemplate); }

  static std::string Number(const Value& value) {
    if (value.is(Kind::kInt)) return std::to_string(value.as_int());
    const double number = value.as_float();
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
    return FloatRepr(number);
  }

  Status Write(const Value& value, size_t level) {
    MIRAGE_TRY(runtime_.Step());
    switch (value.kind()) {
      case Kind::kNone:
        Plain("null");
        return {};
      case Kind::kBool:
        Plain(value.as_bool() ? "true" : "false");
        return {};
      case Kind::kInt:
      case Kind::kFloat:
        Plain(Number(value));
        return {};
      case Kind::kString:
        return WriteString(value.text());
      case Kind::kList:
      case Kind::kTuple:
        return WriteItems(value.items(), level);
      case Kind::kDict:
        return WriteDict(value.dict(), level);
      default:
        return Wrong("Object of type " + std::string(TypeName(value)) +
                     " is not JSON serializable");
    }
  }

  Status WriteString(const Text& text) {
    MIRAGE_TRY(runtime_.budget().StepBytes(text.size()));
    Plain("\"");
    size_t plain = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      const std::string escape = EscapeInJson(DecodeUtf8(text.bytes(), &at), style_.ensure_ascii);
      if (escape.empty()) continue;
      out_.Append(text, plain, begin);
      out_.Append(escape, text.OriginAt(begin));
      plain = at;
    }
    out_.Append(text, plain, text.size());
    Plain("\"");
    return {};
  }

  void BreakLine(size_t level) {
    if (style_.indent == nullptr) return;
    Plain("\n");
    for (size_t i = 0; i < level && !out_.overflowed(); ++i) out_.Append(*style_.indent);
  }

  void SeparateItems(size_t level) {
    if (style_.item_separator != nullptr) {
      out_.Append(*style_.item_separator);
    } else {
      Plain(style_.indent != nullptr ? "," : ", ");
    }
    BreakLine(level);
  }

  Status WriteItems(const std::vector<Value>& items, size_t level) {
    Plain("[");
    for (size_t i = 0; i < items.size(); ++i) {
      i == 0 ? BreakLine(level + 1) : SeparateItems(level + 1);
      MIRAGE_TRY(Write(items[i], level + 1));
    }
    if (!items.empty()) BreakLine(level);
    Plain("]");
    return {};
  }

  Status WriteDict(const Dict& dict, size_t level) {
    std::vector<size_t> order(dict.entries.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (style_.sort_keys) {
      std::vector<Value> keys;
      keys.reserve(dict.entries.size());
      for (const auto& [key, value] : dict.entries) keys.push_back(key);
      MIRAGE_TRY_ASSIGN(order, SortedOrder(runtime_, keys, false));
    }
    Plain("{");
    for (size_t i = 0; i < order.size(); ++i) {
      const auto& [key, value] = dict.entries[order[i]];
      i == 0 ? BreakLine(level + 1) : SeparateItems(level + 1);
      MIRAGE_TRY(WriteKey(key));
      if (style_.key_separator != nullptr) {
        out_.Append(*style_.key_separator);
      } else {
        Plain(": ");
      }
      MIRAGE_TRY(Write(value, level + 1));
    }
    if (!order.empty()) BreakLine(level);
    Plain("}");
    return {};
  }

  Status WriteKey(const Value& key) {
    if (key.is_string()) return WriteString(key.text());
    if (!key.is_none() && !key.is_number()) {
      return Wrong("keys must be str, int, float, bool or None, not " + std::string(TypeName(key)));
    }
    Plain("\"");
    MIRAGE_TRY(Write(key, 0));
    Plain("\"");
    return {};
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  TextBuilder out_;
};

}  // namespace

Result<TextPtr> WriteJson(Runtime& runtime, const Value& value, const JsonStyle& style) {
  return Writer(runtime, style).Run(value);
}

}  // namespace mirage::text::jinja
