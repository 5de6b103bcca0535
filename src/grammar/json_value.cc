// SPDX-License-Identifier: Apache-2.0
#include "grammar/json_value.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace mirage::grammar {
namespace {

constexpr size_t kMaxBytes = size_t{4} << 20;
constexpr size_t kMaxNesting = 100;
constexpr int64_t kMaxDigits = 1000;

using Type = JsonValue::Type;

// "-12.50e3" to -12500. Longer than kMaxDigits: false.
bool ReadDecimal(const std::string& text, Decimal* out) {
  size_t at = 0;
  out->negative = text[0] == '-';
  if (out->negative) ++at;
  std::string digits;
  int64_t point = -1, exponent = 0;
  for (; at < text.size() && text[at] != 'e' && text[at] != 'E'; ++at) {
    if (text[at] == '.')
      point = static_cast<int64_t>(digits.size());
    else
      digits.push_back(text[at]);
  }
  if (point < 0) point = static_cast<int64_t>(digits.size());
  if (at < text.size()) {
    const bool down = text[++at] == '-';
    if (text[at] == '-' || text[at] == '+') ++at;
    for (; at < text.size(); ++at)
      exponent = std::min<int64_t>(exponent * 10 + (text[at] - '0'), 1 << 20);
    if (down) exponent = -exponent;
  }
  const size_t front = std::min(digits.find_first_not_of('0'), digits.size());
  digits.erase(0, front);
  digits.erase(digits.find_last_not_of('0') + 1);
  point += exponent - static_cast<int64_t>(front);
  if (digits.empty()) {
    out->negative = false;
    return true;
  }
  if (point > kMaxDigits || point < -kMaxDigits || digits.size() > kMaxDigits) return false;
  const auto count = static_cast<int64_t>(digits.size());
  if (point <= 0) {
    out->fraction = std::string(static_cast<size_t>(-point), '0') + digits;
  } else if (point >= count) {
    out->whole = digits + std::string(static_cast<size_t>(point - count), '0');
  } else {
    out->whole = digits.substr(0, static_cast<size_t>(point));
    out->fraction = digits.substr(static_cast<size_t>(point));
  }
  return true;
}

// What the parser calls, in order; builds the value from its outside in.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return Add(Type::kNull) != nullptr; }
  bool boolean(bool value) override { return Add(value ? Type::kTrue : Type::kFalse) != nullptr; }
  bool number_integer(int64_t value) override { return Number(std::to_string(value)); }
  bool number_unsigned(uint64_t value) override { return Number(std::to_string(value)); }
  bool number_float(double, const std::string& text) override { return Number(text); }
  bool string(std::string& value) override {
    Add(Type::kString)->text = std::move(value);
    return true;
  }
  bool binary(nlohmann::json::binary_t&) override { return false; }
  bool start_object(size_t) override { return Open(Type::kObject); }
  bool start_array(size_t) override { return Open(Type::kArray); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(std::string& name) override {
    if (!names_.back().insert(name).second)
      return Refuse(Code::kInvalidArgument, "the name '" + name + "' comes twice in an object");
    open_.back()->members.push_back({std::move(name), JsonValue()});
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    return Refuse(Code::kInvalidArgument,
                  "it is not JSON: a mistake at byte " + std::to_string(position));
  }

  Error error;
  JsonValue root;

 private:
  bool Refuse(Code code, std::string message) {
    if (error.message.empty()) error = Error{code, std::move(message), 0, 0};
    return false;
  }
  JsonValue* Add(Type type) {
    JsonValue* place = &root;
    if (!open_.empty() && open_.back()->is(Type::kArray))
      place = &open_.back()->items.emplace_back();
    else if (!open_.empty())
      place = &open_.back()->members.back().value;
    place->type = type;
    return place;
  }
  bool Number(const std::string& text) {
    if (ReadDecimal(text, &Add(Type::kNumber)->number)) return true;
    return Refuse(Code::kUnsupported, "a number of more than " + std::to_string(kMaxDigits) +
                                          " digits is not supported");
  }
  bool Open(Type type) {
    if (open_.size() == kMaxNesting)
      return Refuse(Code::kUnsupported,
                    "it is nested deeper than " + std::to_string(kMaxNesting) + " levels");
    // Only the innermost list grows, so pointers to what is around it stay.
    open_.push_back(Add(type));
    names_.emplace_back();
    return true;
  }
  bool Close() {
    open_.pop_back();
    names_.pop_back();
    return true;
  }
  std::vector<JsonValue*> open_;
  std::vector<std::set<std::string>> names_;
};

}  // namespace

Result<JsonValue> ParseJson(std::string_view text) {
  if (text.size() > kMaxBytes)
    return Fail(Code::kUnsupported, "it has " + std::to_string(text.size()) + " bytes, more than " +
                                        std::to_string(kMaxBytes));
  Builder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder))
    return Fail(std::move(builder.error));
  return std::move(builder.root);
}

}  // namespace mirage::grammar
