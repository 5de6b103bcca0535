// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "text/jinja/errors.h"
#include "text/jinja/json.h"

namespace mirage::text::jinja {
namespace {

// Builds values from the parser's events, which come without recursion. A handler that returns
// false stops the parser; error_ then says why.
class Reader {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  Reader(Runtime& runtime, const std::function<Origin(std::string_view)>& origin_of)
      : runtime_(runtime), origin_of_(origin_of) {}

  bool null() { return Put(Value()); }
  bool boolean(bool value) { return Put(Value::Bool(value)); }
  bool number_integer(number_integer_t value) { return Put(Value::Int(value)); }
  bool number_unsigned(number_unsigned_t value) {
    if (value > static_cast<uint64_t>(INT64_MAX)) return Stop(TooBig(std::to_string(value)));
    return Put(Value::Int(static_cast<int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t& digits) {
    // The parser makes a float of an integer that is too big for it.
    if (digits.find_first_of(".eE") == std::string::npos) return Stop(TooBig(digits));
    return Put(Value::Float(value));
  }
  bool string(string_t& value) { return PutString(value, origin_); }
  bool binary(binary_t&) { return Stop(Wrong("binary data in JSON").value()); }

  bool key(string_t& key) {
    if (open_.size() == 1) origin_ = origin_of_(key);
    Result<Value> value = runtime_.String(key, origin_);
    if (!value) return Stop(std::move(value).error());
    open_.back().key = std::move(*value);
    return true;
  }
  bool start_object(size_t) { return Open(true); }
  bool start_array(size_t) { return Open(false); }
  bool end_object() {
    DictBuilder members = std::move(open_.back().members);
    open_.pop_back();
    return PutMade(runtime_.MakeDict(std::move(members)));
  }
  bool end_array() {
    std::vector<Value> items = std::move(open_.back().items);
    open_.pop_back();
    return PutMade(runtime_.List(std::move(items)));
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& e) {
    // "[json.exception.parse_error.101] parse error at ...: what is wrong"
    const std::string_view what = e.what();
    return Stop(Wrong("JSON byte " + std::to_string(position) + ": " +
                      std::string(what.substr(what.find(": ") + 2)))
                    .value());
  }

  Result<Value> Take() {
    if (error_) return Fail(std::move(*error_));
    return std::move(result_);
  }

 private:
  struct Container {
    bool is_object = false;
    Value key;
    DictBuilder members;
    std::vector<Value> items;
  };

  static Error TooBig(const std::string& digits) {
    return Wrong("the integer " + digits.substr(0, 40) + " in JSON does not fit 64 bits").value();
  }

  bool Stop(Error error) {
    if (!error_) error_ = std::move(error);
    return false;
  }

  bool Open(bool is_object) {
    if (open_.size() >= kMaxValueDepth) {
      return Stop(LimitReached("JSON depth", kMaxValueDepth).value());
    }
    open_.emplace_back().is_object = is_object;
    return true;
  }

  bool PutString(const std::string& value, Origin origin) {
    return PutMade(runtime_.String(value, origin));
  }

  bool PutMade(Result<Value> value) {
    if (!value) return Stop(std::move(value).error());
    return Put(std::move(*value));
  }

  bool Put(Value value) {
    if (open_.empty()) {
      result_ = std::move(value);
    } else if (open_.back().is_object) {
      open_.back().members.Add(std::move(open_.back().key), std::move(value));
    } else {
      open_.back().items.push_back(std::move(value));
    }
    return true;
  }

  Runtime& runtime_;
  const std::function<Origin(std::string_view)>& origin_of_;
  Origin origin_ = Origin::kInput;
  std::vector<Container> open_;
  Value result_;
  std::optional<Error> error_;
};

}  // namespace

Result<Value> ReadJson(Runtime& runtime, std::string_view json,
                       const std::function<Origin(std::string_view)>& origin_of) {
  if (json.size() > runtime.limits().input_bytes) {
    return LimitReached("input_bytes", runtime.limits().input_bytes);
  }
  Reader reader(runtime, origin_of);
  nlohmann::json::sax_parse(json, &reader);
  return reader.Take();
}

}  // namespace mirage::text::jinja
