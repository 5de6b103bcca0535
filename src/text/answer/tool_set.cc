// SPDX-License-Identifier: Apache-2.0
#include "text/answer/tool_set.h"

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

namespace mirage::text {
namespace {

using Json = nlohmann::json;

struct Parameter {
  std::optional<bool> type_is_string;
  std::optional<bool> values_are_strings;  // of an enumeration
  [[nodiscard]] bool is_string() const {
    return type_is_string.value_or(values_are_strings.value_or(false));
  }
};

// Takes the parser's events, without a tree of values: giving one up would need memory.
class Reader {
 public:
  using number_integer_t = Json::number_integer_t;
  using number_unsigned_t = Json::number_unsigned_t;
  using number_float_t = Json::number_float_t;
  using string_t = Json::string_t;
  using binary_t = Json::binary_t;
  using Tools = std::map<std::string, std::map<std::string, bool, std::less<>>, std::less<>>;

  bool null() { return Value(nullptr); }
  bool boolean(bool) { return Value(nullptr); }
  bool number_integer(number_integer_t) { return Value(nullptr); }
  bool number_unsigned(number_unsigned_t) { return Value(nullptr); }
  bool number_float(number_float_t, const string_t&) { return Value(nullptr); }
  bool string(string_t& value) { return Value(&value); }
  bool binary(binary_t&) { return false; }
  bool key(string_t& name) {
    levels_.back() = name;
    return true;
  }
  bool start_object(size_t) { return Open(true); }
  bool end_object() {
    levels_.pop_back();
    return levels_.size() != 1 || EndTool();
  }
  bool start_array(size_t) { return Open(false); }
  bool end_array() {
    levels_.pop_back();
    return true;
  }
  bool parse_error(size_t at, const std::string&, const Json::exception& error) {
    constexpr int kNumberOutOfRange = 406;
    failure_ = error.id == kNumberOutOfRange
                   ? "a number in the tools is too large for JSON's readers"
                   : "the tools are not JSON, at byte " + std::to_string(at);
    return false;
  }

  Result<Tools> Take(bool read) && {
    if (failure_.empty() && !read) failure_ = "the tools are not a JSON array";
    if (!failure_.empty()) return Fail(Code::kInvalidArgument, std::move(failure_));
    return std::move(tools_);
  }

 private:
  bool Open(bool object) {
    if (levels_.empty() && object) return false;
    if (levels_.size() == ToolSet::kMostDepth) {
      failure_ = "the tools are nested more than " + std::to_string(ToolSet::kMostDepth) + " deep";
      return false;
    }
    if (levels_.size() == 1 && !object) return NoName();
    if (levels_.size() > 1) static_cast<void>(Value(nullptr));
    levels_.emplace_back();
    return true;
  }

  bool NoName() {
    failure_ = "tool " + std::to_string(count_) + " has no name";
    return false;
  }

  bool EndTool() {
    if (name_.empty()) return NoName();
    auto& parameters = tools_[name_];
    parameters.clear();
    for (const auto& [name, parameter] : parameters_)
      parameters.emplace(name, parameter.is_string());
    name_.clear();
    parameters_.clear();
    ++count_;
    return true;
  }

  // The keys under which a value stands in its tool; those of the array's items are empty.
  [[nodiscard]] bool At(std::initializer_list<std::string_view> path) const {
    const size_t from = levels_.size() > 1 && levels_[1] == "function" ? 2 : 1;
    if (levels_.size() != from + path.size()) return false;
    size_t i = from;
    for (const std::string_view key : path)
      if (const std::string& level = levels_[i++]; key != "*" && key != level) return false;
    return true;
  }

  // One that begins; `text` of a string.
  bool Value(const std::string* text) {
    if (levels_.empty()) return false;
    if (levels_.size() == 1) return NoName();
    if (At({"name"}) && text != nullptr) name_ = *text;
    if (At({"parameters", "properties", "*", "type"}))
      ParameterAt(levels_.size() - 2).type_is_string = text != nullptr && *text == "string";
    if (At({"parameters", "properties", "*", "enum", ""})) {
      Parameter& parameter = ParameterAt(levels_.size() - 3);
      parameter.values_are_strings = parameter.values_are_strings.value_or(true) && text != nullptr;
    }
    return true;
  }
  Parameter& ParameterAt(size_t level) { return parameters_[levels_[level]]; }

  Tools tools_;
  std::string failure_;
  std::vector<std::string> levels_;  // of each open bracket: the key that came last
  size_t count_ = 0;
  std::string name_;  // of the tool being read
  std::map<std::string, Parameter> parameters_;
};

}  // namespace

Result<ToolSet> ToolSet::Read(std::string_view json) {
  ToolSet set;
  if (json.empty() || json == "null") return set;
  if (json.size() > kMostBytes)
    return Fail(Code::kInvalidArgument, "the tools have " + std::to_string(json.size()) +
                                            " bytes; at most " + std::to_string(kMostBytes) +
                                            " are allowed");
  // To the parser a NUL is the end, whatever follows it.
  if (const size_t nul = json.find('\0'); nul != std::string_view::npos)
    return Fail(Code::kInvalidArgument, "the tools hold a NUL, at byte " + std::to_string(nul));
  Reader reader;
  const bool read = Json::sax_parse(json, &reader);
  MIRAGE_TRY_ASSIGN(set.tools_, std::move(reader).Take(read));
  return set;
}

bool ToolSet::TakesString(std::string_view tool, std::string_view parameter) const {
  const auto found = tools_.find(tool);
  if (found == tools_.end()) return false;
  const auto taken = found->second.find(parameter);
  return taken != found->second.end() && taken->second;
}

}  // namespace mirage::text
