// SPDX-License-Identifier: Apache-2.0
#pragma once

// JsonScanner: follows a JSON object byte by byte, to its end.
//
// It tells brackets, strings, keys and values apart, and finds what cannot be JSON as soon as it
// comes, but for the spelling of numbers, words and escapes: IsSafeJson looks at these when the
// object is whole. Control characters in strings, which JSON does not allow but models write, pass.
//
// Plain functions: any thread. A scanner: one thread at a time.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mirage::text {

class JsonScanner {
 public:
  static constexpr int kMostDepth = 48;       // so that a message it stands in can be read again
  static constexpr size_t kMostMembers = 64;  // remembered; more are wrong in an object that is
  enum class State { kMore, kDone, kWrong };
  struct Span {
    size_t begin = 0, end = 0;
    [[nodiscard]] std::string_view Of(std::string_view text) const {
      return text.substr(begin, end - begin);
    }
  };
  // Of the outermost object; quotation marks included. Offsets in all bytes pushed.
  struct Member {
    Span key, value;
  };

  explicit JsonScanner(bool remember_members = false) : remember_(remember_members) {}

  // The first byte is the object's opening bracket. kDone with its closing one.
  [[nodiscard]] State Push(char c);
  // Those whose key is complete; the last one's value may not have come.
  [[nodiscard]] const std::vector<Member>& members() const { return members_; }
  [[nodiscard]] bool in_string() const { return expect_ == Expect::kInString; }

 private:
  enum class Expect {
    kObject,
    kKeyOrEnd,
    kKey,
    kColon,
    kValue,
    kValueOrEnd,
    kCommaOrEnd,
    kInString,
    kInWord,  // a number, true, false or null
  };
  [[nodiscard]] State Step(char c);
  [[nodiscard]] State BeginValue(char c);
  [[nodiscard]] State Open(bool object);
  [[nodiscard]] State Close(bool object);
  [[nodiscard]] State EndString();
  void EndValue();
  [[nodiscard]] bool in_object() const { return (objects_ & 1) != 0; }

  bool remember_;
  Expect expect_ = Expect::kObject;
  uint64_t objects_ = 0;  // a bit for each open bracket, the innermost lowest: an object
  int depth_ = 0;
  bool in_key_ = false;
  bool escaped_ = false;
  size_t at_ = 0;  // of the byte being looked at
  std::vector<Member> members_;
};

// The members of a whole object; nothing for what is none, or has too many.
[[nodiscard]] std::optional<std::vector<JsonScanner::Member>> MembersOf(std::string_view object);

// A JSON text as a strict reader wants it: control characters in strings are escaped.
[[nodiscard]] std::string EscapeControls(std::string_view json);
// Whether it is a JSON object that every reader of messages takes: nested at most
// JsonScanner::kMostDepth deep, integers of 64 bits, UTF-8.
[[nodiscard]] bool IsSafeObject(std::string_view json);
// Whether it is any value of that kind.
[[nodiscard]] bool IsSafeJson(std::string_view json);
// The text that a JSON string stands for; nothing when it is none.
[[nodiscard]] std::optional<std::string> ReadJsonString(std::string_view json);
// `text`, which is UTF-8, as a JSON string.
void AppendQuoted(std::string_view text, std::string* json);

}  // namespace mirage::text
