// SPDX-License-Identifier: Apache-2.0
#include "text/answer/json_scanner.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "text/answer/piece_writer.h"

namespace mirage::text {
namespace {

using Json = nlohmann::json;

bool IsWordByte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
         c == '-' || c == '.';
}

// Takes the parser's events: refuses what a reader of messages would refuse later.
class Checker {
 public:
  using number_integer_t = Json::number_integer_t;
  using number_unsigned_t = Json::number_unsigned_t;
  using number_float_t = Json::number_float_t;
  using string_t = Json::string_t;
  using binary_t = Json::binary_t;

  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(number_integer_t) { return true; }
  bool number_unsigned(number_unsigned_t value) {
    return value <= static_cast<uint64_t>(INT64_MAX);
  }
  // The parser makes a float of an integer that is too big for it.
  bool number_float(number_float_t, const string_t& digits) {
    return digits.find_first_of(".eE") != std::string::npos;
  }
  bool string(string_t&) { return true; }
  bool binary(binary_t&) { return false; }
  bool start_object(size_t) { return ++depth_ <= JsonScanner::kMostDepth; }
  bool end_object() { return Leave(); }
  bool start_array(size_t) { return ++depth_ <= JsonScanner::kMostDepth; }
  bool end_array() { return Leave(); }
  bool key(string_t&) { return true; }
  bool parse_error(size_t, const std::string&, const Json::exception&) { return false; }

 private:
  bool Leave() {
    --depth_;
    return true;
  }
  int depth_ = 0;
};

}  // namespace

JsonScanner::State JsonScanner::Push(char c) {
  const State state = Step(c);
  ++at_;
  return state;
}

JsonScanner::State JsonScanner::Step(char c) {
  if (expect_ == Expect::kInString) {
    if (escaped_)
      escaped_ = false;
    else if (c == '\\')
      escaped_ = true;
    else if (c == '"')
      return EndString();
    return State::kMore;
  }
  if (expect_ == Expect::kInWord) {
    if (IsWordByte(c)) return State::kMore;
    EndValue();
  }
  if (IsJsonSpace(c)) return State::kMore;
  switch (expect_) {
    case Expect::kObject:
      return c == '{' ? Open(true) : State::kWrong;
    case Expect::kKeyOrEnd:
      if (c == '}') return Close(true);
      [[fallthrough]];
    case Expect::kKey:
      if (c != '"') return State::kWrong;
      if (remember_ && depth_ == 1) {
        if (members_.size() == kMostMembers) return State::kWrong;
        members_.push_back({{at_, at_}, {}});
      }
      in_key_ = true;
      expect_ = Expect::kInString;
      return State::kMore;
    case Expect::kColon:
      expect_ = Expect::kValue;
      return c == ':' ? State::kMore : State::kWrong;
    case Expect::kValueOrEnd:
      if (c == ']') return Close(false);
      [[fallthrough]];
    case Expect::kValue:
      return BeginValue(c);
    case Expect::kCommaOrEnd:
      if (c == '}' || c == ']') return Close(c == '}');
      expect_ = in_object() ? Expect::kKey : Expect::kValue;
      return c == ',' ? State::kMore : State::kWrong;
    case Expect::kInString:
    case Expect::kInWord:
      break;
  }
  return State::kWrong;
}

JsonScanner::State JsonScanner::BeginValue(char c) {
  if (remember_ && depth_ == 1) members_.back().value.begin = at_;
  if (c == '{' || c == '[') return Open(c == '{');
  if (c == '"') {
    in_key_ = false;
    expect_ = Expect::kInString;
    return State::kMore;
  }
  expect_ = Expect::kInWord;
  return IsWordByte(c) ? State::kMore : State::kWrong;
}

JsonScanner::State JsonScanner::Open(bool object) {
  if (depth_ == kMostDepth) return State::kWrong;
  ++depth_;
  objects_ = objects_ << 1 | static_cast<uint64_t>(object);
  expect_ = object ? Expect::kKeyOrEnd : Expect::kValueOrEnd;
  return State::kMore;
}

JsonScanner::State JsonScanner::Close(bool object) {
  if (object != in_object()) return State::kWrong;
  --depth_;
  objects_ >>= 1;
  if (depth_ == 0) return State::kDone;
  ++at_;  // the bracket is part of the value
  EndValue();
  --at_;
  return State::kMore;
}

JsonScanner::State JsonScanner::EndString() {
  if (in_key_) {
    if (remember_ && depth_ == 1) members_.back().key.end = at_ + 1;
    expect_ = Expect::kColon;
    return State::kMore;
  }
  ++at_;
  EndValue();
  --at_;
  return State::kMore;
}

void JsonScanner::EndValue() {
  if (remember_ && depth_ == 1) members_.back().value.end = at_;
  expect_ = Expect::kCommaOrEnd;
}

std::optional<std::vector<JsonScanner::Member>> MembersOf(std::string_view object) {
  JsonScanner scanner(true);
  for (size_t i = 0; i < object.size(); ++i) {
    const JsonScanner::State state = scanner.Push(object[i]);
    if (state == JsonScanner::State::kWrong) return std::nullopt;
    if (state != JsonScanner::State::kDone) continue;
    if (i + 1 != object.size()) return std::nullopt;
    return scanner.members();
  }
  return std::nullopt;
}

std::string EscapeControls(std::string_view json) {
  std::string escaped;
  escaped.reserve(json.size());
  bool in_string = false;
  bool after_backslash = false;
  for (const char c : json) {
    if (in_string && static_cast<unsigned char>(c) < 0x20) {
      // A backslash before a line break is taken for the escape that was meant.
      if (after_backslash) escaped.pop_back();
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      escaped += escape;
      after_backslash = false;
      continue;
    }
    escaped += c;
    if (after_backslash)
      after_backslash = false;
    else if (in_string && c == '\\')
      after_backslash = true;
    else if (c == '"')
      in_string = !in_string;
  }
  return escaped;
}

bool IsSafeJson(std::string_view json) {
  // To the parser a NUL is the end, whatever follows it.
  if (json.find('\0') != std::string_view::npos) return false;
  Checker checker;
  return Json::sax_parse(json, &checker);
}

bool IsSafeObject(std::string_view json) {
  const size_t first = json.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && json[first] == '{' && IsSafeJson(json);
}

std::optional<std::string> ReadJsonString(std::string_view json) {
  if (json.size() < 2 || json.front() != '"') return std::nullopt;
  const Json value = Json::parse(EscapeControls(json), nullptr, false);
  if (!value.is_string()) return std::nullopt;
  return value.get<std::string>();
}

void AppendQuoted(std::string_view text, std::string* json) {
  *json += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      *json += '\\';
      *json += c;
    } else if (c == '\n') {
      *json += "\\n";
    } else if (c == '\r') {
      *json += "\\r";
    } else if (c == '\t') {
      *json += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      *json += escape;
    } else {
      *json += c;
    }
  }
  *json += '"';
}

}  // namespace mirage::text
