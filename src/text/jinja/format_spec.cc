// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/format_spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja/errors.h"
#include "text/jinja/repr.h"
#include "text/jinja/text_ops.h"

namespace mirage::text::jinja {
namespace {

Result<TextPtr> FillText(Budget& budget, const FormatSpec& spec) {
  return MakeText(budget, spec.fill, spec.fill_origin);
}

void ToUpperAscii(std::string* text) {
  std::transform(text->begin(), text->end(), text->begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
}

// Separators between each three digits before the point.
void Group(char separator, std::string* digits) {
  size_t point = digits->find_first_not_of("0123456789");
  if (point == std::string::npos) point = digits->size();
  for (size_t at = point; at > 3; at -= 3) digits->insert(at - 3, 1, separator);
}

Result<TextPtr> PadNumber(Budget& budget, const FormatSpec& spec, bool negative,
                          std::string_view prefix, std::string digits) {
  std::string head = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  head += prefix;
  MIRAGE_TRY(budget.CheckStringBytes(static_cast<uint64_t>(std::max<int64_t>(spec.width, 0))));
  if (spec.grouping != '\0') Group(spec.grouping, &digits);
  if (spec.align == '=') {
    // The fill goes behind the sign.
    MIRAGE_TRY_ASSIGN(const TextPtr body, MakeText(budget, digits, Origin::kTemplate));
    MIRAGE_TRY_ASSIGN(const TextPtr fill, FillText(budget, spec));
    MIRAGE_TRY_ASSIGN(
        const TextPtr padded,
        Pad(budget, *body, spec.width - static_cast<int64_t>(head.size()), *fill, Align::kRight));
    TextBuilder out(budget);
    out.Append(head, Origin::kTemplate);
    out.Append(*padded);
    return out.Finish();
  }
  FormatSpec plain = spec;
  plain.precision = -1;
  if (plain.align == '\0') plain.align = '>';
  MIRAGE_TRY_ASSIGN(const TextPtr body, MakeText(budget, head + digits, Origin::kTemplate));
  return FormatText(budget, plain, *body);
}

// The digits of a finite, non-negative value.
Result<std::string> FloatDigits(const FormatSpec& spec, double value) {
  if (spec.precision > kMaxFormatPrecision) {
    return Wrong("precision exceeds " + std::to_string(kMaxFormatPrecision));
  }
  if (spec.type == '\0') {
    if (spec.precision >= 0) return Unsupported("a float's precision needs a type such as 'f'");
    return FloatRepr(value);
  }
  std::chars_format notation = std::chars_format::fixed;
  const char type = static_cast<char>(spec.type | 32);
  if (type == 'e') notation = std::chars_format::scientific;
  if (type == 'g') notation = std::chars_format::general;
  const double scaled = spec.type == '%' ? value * 100 : value;
  const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
  char buffer[kMaxFormatPrecision + 400];
  const auto printed = std::to_chars(buffer, buffer + sizeof buffer, scaled, notation, precision);
  std::string digits(buffer, printed.ptr);
  if (spec.type == '%') digits.push_back('%');
  return digits;
}

}  // namespace

Result<TextPtr> FormatText(Budget& budget, const FormatSpec& spec, const Text& text) {
  size_t end = text.size();
  if (spec.precision >= 0 && static_cast<uint64_t>(spec.precision) < text.code_points()) {
    end = text.ByteOffset(static_cast<size_t>(spec.precision));
  }
  MIRAGE_TRY_ASSIGN(const TextPtr kept, Slice(budget, text, 0, end));
  MIRAGE_TRY_ASSIGN(const TextPtr fill, FillText(budget, spec));
  if (spec.align == '^') {
    // Unlike str.center, the odd fill goes to the right.
    const auto length = static_cast<int64_t>(kept->code_points());
    const int64_t left = std::max<int64_t>(spec.width - length, 0) / 2;
    MIRAGE_TRY_ASSIGN(const TextPtr shifted,
                      Pad(budget, *kept, length + left, *fill, Align::kRight));
    return Pad(budget, *shifted, spec.width, *fill, Align::kLeft);
  }
  return Pad(budget, *kept, spec.width, *fill, spec.align == '>' ? Align::kRight : Align::kLeft);
}

Result<TextPtr> FormatInteger(Budget& budget, const FormatSpec& spec, int64_t value) {
  const char type = static_cast<char>(spec.type | 32);
  const int base = type == 'x' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
  if (spec.grouping != '\0' && base != 10) {
    return Unsupported("grouping of digits in another base than 10");
  }
  const bool negative = value < 0;
  const uint64_t magnitude =
      negative ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  char buffer[64];
  const auto printed = std::to_chars(buffer, buffer + sizeof buffer, magnitude, base);
  std::string digits(buffer, printed.ptr);
  if (spec.precision > kMaxFormatPrecision) {
    return Wrong("precision exceeds " + std::to_string(kMaxFormatPrecision));
  }
  if (static_cast<int64_t>(digits.size()) < spec.precision) {
    digits.insert(0, static_cast<size_t>(spec.precision) - digits.size(), '0');
  }
  std::string prefix = !spec.alternate || base == 10 ? "" : std::string{'0', spec.type};
  if (spec.type == 'X') ToUpperAscii(&digits);
  return PadNumber(budget, spec, negative, prefix, std::move(digits));
}

Result<TextPtr> FormatFloat(Budget& budget, const FormatSpec& spec, double value) {
  if (spec.alternate) return Unsupported("'#' in the format of a float");
  const bool negative = std::signbit(value) && !std::isnan(value);
  std::string digits;
  if (std::isfinite(value)) {
    MIRAGE_TRY_ASSIGN(digits, FloatDigits(spec, std::fabs(value)));
  } else {
    digits = std::isnan(value) ? "nan" : "inf";
    if (spec.type == '%') digits.push_back('%');
  }
  if (spec.type >= 'A' && spec.type <= 'Z') ToUpperAscii(&digits);
  return PadNumber(budget, spec, negative, "", std::move(digits));
}

}  // namespace mirage::text::jinja
