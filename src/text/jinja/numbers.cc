// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/numbers.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string>

#include "text/jinja/characters.h"

namespace mirage::text::jinja {
namespace {

std::string_view StripSpace(std::string_view text) {
  while (!text.empty()) {
    size_t next = 0;
    if (!IsSpace(DecodeUtf8(text, &next))) break;
    text.remove_prefix(next);
  }
  while (!text.empty()) {
    const size_t last = PreviousUtf8(text, text.size());
    size_t at = last;
    if (!IsSpace(DecodeUtf8(text, &at))) break;
    text.remove_suffix(text.size() - last);
  }
  return text;
}

bool IsAlnum(char c) { return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'); }

// Takes out underscores that stand between two digits; nothing if one stands elsewhere.
std::optional<std::string> DropUnderscores(std::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits.push_back(text[i]);
    } else if (i == 0 || i + 1 == text.size() || !IsAlnum(text[i - 1]) || !IsAlnum(text[i + 1])) {
      return std::nullopt;
    }
  }
  return digits;
}

}  // namespace

ParsedInt ParseInt(std::string_view text, int base) {
  text = StripSpace(text);
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text.size() > 2 && text[0] == '0') {
    const char marker = static_cast<char>(text[1] | 32);
    const int prefix_base = marker == 'x' ? 16 : marker == 'o' ? 8 : marker == 'b' ? 2 : 0;
    if (prefix_base != 0 && (base == 0 || base == prefix_base)) {
      text.remove_prefix(2);
      if (text[0] == '_') text.remove_prefix(1);
      base = prefix_base;
    }
  }
  const std::optional<std::string> digits = DropUnderscores(text);
  if (!digits || digits->empty()) return {};
  if (base == 0) {
    if (digits->size() > 1 && digits->front() == '0' &&
        digits->find_first_not_of('0') != std::string::npos) {
      return {};  // "010" is no literal
    }
    base = 10;
  }
  const char* const end = digits->data() + digits->size();
  uint64_t magnitude = 0;
  const auto parsed = std::from_chars(digits->data(), end, magnitude, base);
  if (parsed.ec == std::errc::invalid_argument || parsed.ptr != end) return {};
  constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  ParsedInt result;
  result.is_number = true;
  result.fits = parsed.ec == std::errc() && magnitude <= kMax + (negative ? 1 : 0);
  if (result.fits) result.value = static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
  return result;
}

std::optional<double> ParseFloat(std::string_view text) {
  const std::optional<std::string> digits = DropUnderscores(StripSpace(text));
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view body = *digits;
  const bool negative = body[0] == '-';
  if (body[0] == '-' || body[0] == '+') body.remove_prefix(1);
  std::string lower(body);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c; });
  double value = 0;
  if (lower == "inf" || lower == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (lower == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (lower.empty() || !((lower[0] >= '0' && lower[0] <= '9') || lower[0] == '.')) {
      return std::nullopt;
    }
    const char* const end = lower.data() + lower.size();
    const auto parsed = std::from_chars(lower.data(), end, value);
    if (parsed.ptr != end || parsed.ec == std::errc::invalid_argument) return std::nullopt;
    if (parsed.ec == std::errc::result_out_of_range) {
      // Too small is zero, too big infinite. The exponent, or the number of digits, says which.
      const size_t e = lower.find('e');
      const bool small = e != std::string::npos ? e + 1 < lower.size() && lower[e + 1] == '-'
                                                : lower.find_first_not_of("0.") > 300;
      value = small ? 0.0 : std::numeric_limits<double>::infinity();
    }
  }
  return negative ? -value : value;
}

}  // namespace mirage::text::jinja
