// SPDX-License-Identifier: Apache-2.0

#include "session/conversation_reader.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "text/answer/json_scanner.h"
#include "text/answer/tool_set.h"
#include "text/unicode.h"

namespace mirage::session {
namespace {

using Json = nlohmann::json;

// Which part of the conversation is being read.
enum class Part { kNothing, kMessages, kExtra };

// Takes the parser's events. Every value below the top level is written out again as text, into the
// message or the extra it belongs to.
class Reader {
 public:
  using number_integer_t = Json::number_integer_t;
  using number_unsigned_t = Json::number_unsigned_t;
  using number_float_t = Json::number_float_t;
  using string_t = Json::string_t;
  using binary_t = Json::binary_t;

  bool null() { return Scalar("null", true); }
  bool boolean(bool value) { return Scalar(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) { return Scalar(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) { return Scalar(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& spelled) { return Scalar(spelled); }
  bool string(string_t& value) {
    std::string text;
    AppendJsonString(text, value);
    if (OfMessage() && in_role_) role_ = value;
    return Scalar(text);
  }
  bool binary(binary_t&) { return false; }  // not in JSON

  bool start_object(std::size_t) { return Open('{'); }
  bool end_object() { return Close('}'); }
  bool start_array(std::size_t) { return Open('['); }
  bool end_array() { return Close(']'); }

  bool key(string_t& name) {
    if (depth_ == 1) return BeginPart(name);
    if (OfMessage()) in_role_ = name == "role";
    Separate();
    AppendJsonString(text_, name);
    text_ += ':';
    separate_ = false;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception&) {
    return Refuse("the conversation is not JSON");
  }

  Result<ConversationJson> Take() && {
    if (!failure_.empty()) return Fail(Code::kInvalidArgument, std::move(failure_));
    return std::move(read_);
  }

 private:
  bool Refuse(std::string why) {
    if (failure_.empty()) failure_ = std::move(why);
    return false;
  }

  bool BeginPart(const std::string& name) {
    const auto extra = std::find(Conversation::kExtras.begin(), Conversation::kExtras.end(), name);
    if (name == "messages") {
      part_ = Part::kMessages;
      read_.messages.clear();  // of a key that is there twice the last one counts
    } else if (extra != Conversation::kExtras.end()) {
      part_ = Part::kExtra;
      extra_ = static_cast<size_t>(extra - Conversation::kExtras.begin());
    } else {
      return Refuse("the conversation has the key '" + name +
                    "'; messages, tools, documents and vars can be added to a session");
    }
    return true;
  }

  // Where a value begins; `bracket` 0 for one that is neither array nor object.
  bool CheckPlace(char bracket, bool is_null) {
    if (depth_ == 0) return bracket == '{' || Refuse("the conversation is not a JSON object");
    if (depth_ == 1 && part_ == Part::kMessages)
      return bracket == '[' || Refuse("the conversation's 'messages' is not an array");
    if (depth_ == 1 && !is_null) {
      const std::string name(Conversation::kExtras[extra_]);
      const bool variables = name == "vars";
      return bracket == (variables ? '{' : '[') ||
             Refuse("the conversation's '" + name + "' is not an " +
                    (variables ? "object" : "array"));
    }
    if (depth_ == 2 && part_ == Part::kMessages)
      return bracket == '{' || Refuse("the conversation's message " +
                                      std::to_string(read_.messages.size()) + " is not an object");
    return true;
  }

  bool Scalar(std::string_view text, bool is_null = false) {
    if (!CheckPlace(0, is_null)) return false;
    if (depth_ == 1) {  // null in place of an extra
      read_.extras[extra_].emplace();
      return true;
    }
    Separate();
    text_ += text;
    separate_ = true;
    return true;
  }

  bool Open(char bracket) {
    if (!CheckPlace(bracket, false)) return false;
    if (depth_ == Conversation::kMaxJsonDepth)
      return Refuse("the conversation's JSON is nested more than " +
                    std::to_string(Conversation::kMaxJsonDepth) + " deep");
    if (depth_++ < OuterDepth()) return true;  // not part of any text
    Separate();
    text_ += bracket;
    separate_ = false;
    return true;
  }

  bool Close(char bracket) {
    --depth_;
    if (depth_ < OuterDepth()) return true;
    text_ += bracket;
    separate_ = true;
    if (depth_ == 2 && part_ == Part::kMessages)
      read_.messages.push_back({TakeText(), std::exchange(role_, {})});
    else if (depth_ == 1)
      return EndExtra();
    return true;
  }

  bool EndExtra() {
    std::string text = TakeText();
    if (Conversation::kExtras[extra_] == "tools" && text.size() > text::ToolSet::kMostBytes)
      return Refuse("the conversation's 'tools' have " + std::to_string(text.size()) +
                    " bytes; at most " + std::to_string(text::ToolSet::kMostBytes) +
                    " are allowed");
    read_.extras[extra_] = std::move(text);
    return true;
  }

  // Brackets this far out hold the texts and are in none: the conversation's own, and those around
  // the messages.
  [[nodiscard]] int OuterDepth() const { return part_ == Part::kMessages ? 2 : 1; }

  // Whether a key or value stands directly in a message.
  [[nodiscard]] bool OfMessage() const { return part_ == Part::kMessages && depth_ == 3; }

  void Separate() {
    if (separate_) text_ += ',';
  }

  std::string TakeText() {
    separate_ = false;
    return std::exchange(text_, {});
  }

  ConversationJson read_;
  std::string failure_;
  std::string text_;
  std::string role_;       // of the message that is being read
  bool in_role_ = false;   // its value comes next
  bool separate_ = false;  // a value stands before the next one
  int depth_ = 0;          // of open brackets
  Part part_ = Part::kNothing;
  size_t extra_ = 0;
};

}  // namespace

Result<ConversationJson> ReadConversationJson(std::string_view json) {
  Reader reader;
  static_cast<void>(Json::sax_parse(json, &reader));
  return std::move(reader).Take();
}

void AppendJsonString(std::string& json, std::string_view text) {
  const std::optional<std::string> repaired = text::RepairUtf8(text);
  text::AppendQuoted(repaired.has_value() ? std::string_view(*repaired) : text, &json);
}

}  // namespace mirage::session
