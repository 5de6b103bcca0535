// SPDX-License-Identifier: Apache-2.0
#pragma once

// CallReader: what one family of formats has in common about calls, and its readers.
//
// A reader is given what follows a marker that may begin a call, symbol by symbol, until it says
// that the call is whole or that it is none. All of that text is held meanwhile: what turns out not
// to be a call is content.
//
// One thread at a time.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/answer/json_scanner.h"
#include "text/answer/piece.h"
#include "text/answer/tool_set.h"

namespace mirage::text {

// What a symbol, which stands at the end of the held text, makes of it.
enum class Verdict {
  kMore,   // not decided
  kRead,   // all that is held has been read, and may have been a call; more may follow
  kEnded,  // the same, and nothing follows
  kNot,    // it is not of a call, nor is what is held before it
};

class CallReader {
 public:
  static constexpr size_t kNoMarker = SIZE_MAX;

  // `held` lives as long as the reader; kRead, kEnded and kNot empty it. Offsets are into it.
  CallReader(const std::string& held, const ToolSet& tools) : held_(held), tools_(tools) {}
  virtual ~CallReader() = default;

  // What follows may be a call: `held` is the marker of that index, or empty when there is none.
  virtual void Begin(size_t opener) = 0;
  virtual Verdict Byte(char c) = 0;
  virtual Verdict Marker(size_t index) = 0;
  // The end of the answer: kRead when what is held is a call, else kNot. Not `whole`: the answer
  // was cut short, so what only its end would have ended is none.
  virtual Verdict End(bool /*whole*/) { return Verdict::kNot; }

  [[nodiscard]] std::vector<ToolCall> TakeCalls() { return std::exchange(calls_, {}); }

 protected:
  [[nodiscard]] const std::string& held() const { return held_; }
  [[nodiscard]] const ToolSet& tools() const { return tools_; }
  [[nodiscard]] Verdict AddCall(ToolCall call) {
    calls_.push_back(std::move(call));
    return Verdict::kRead;
  }
  // One with `arguments` as they are spelled; kNot when they are no JSON object.
  [[nodiscard]] Verdict AddCall(std::string_view name, std::string_view arguments,
                                std::string_view id = {});
  // Of text that is all code.
  [[nodiscard]] Verdict AddCodeCall(std::string_view code);

 private:
  const std::string& held_;
  const ToolSet& tools_;
  std::vector<ToolCall> calls_;
};

// A word that may name a tool: at most 256 letters, digits, and . _ - / :
[[nodiscard]] bool IsToolNameByte(char c);
[[nodiscard]] bool IsToolName(std::string_view text);
[[nodiscard]] std::string_view Trim(std::string_view text);
// An object such as {"name": "f", "arguments": {...}} as a call: also "parameters" for "arguments",
// these as a string, and the two within "function". False when it is none.
[[nodiscard]] bool ReadCallObject(std::string_view object, ToolCall* call);

// A JSON object at the end of the held text, followed byte by byte.
class HeldObject {
 public:
  explicit HeldObject(const std::string& held) : held_(held) {}
  // Its opening bracket is the last byte held.
  void Begin(bool remember_members = false) {
    scanner_ = JsonScanner(remember_members);
    begin_ = end_ = held_.size() - 1;
  }
  // Follows all that is held to its end: a marker's bytes are ones like others.
  JsonScanner::State Follow();
  [[nodiscard]] std::string_view text() const {
    return std::string_view(held_).substr(begin_, end_ - begin_);
  }
  [[nodiscard]] const std::vector<JsonScanner::Member>& members() const {
    return scanner_.members();
  }

 private:
  const std::string& held_;
  JsonScanner scanner_;
  size_t begin_ = 0;
  size_t end_ = 0;  // followed so far
};

// A family of formats: its words, and how to read what follows them.
struct CallSyntax {
  std::span<const std::string_view> markers;
  uint32_t openers = 0;      // bits: the markers that begin calls
  bool bare_object = false;  // one that begins the content may be a call
  bool from_start = false;   // the answer begins as if after an opener
  std::unique_ptr<CallReader> (*make)(const std::string& held, const ToolSet& tools) = nullptr;
};

[[nodiscard]] const CallSyntax& JsonTagCalls();      // <tool_call>{"name": ...}</tool_call>
[[nodiscard]] const CallSyntax& MistralCalls();      // [TOOL_CALLS]
[[nodiscard]] const CallSyntax& XmlCalls();          // <function=f><parameter=p>v</parameter>
[[nodiscard]] const CallSyntax& LlamaCalls();        // {"name": ...}, <|python_tag|>
[[nodiscard]] const CallSyntax& FunctionTagCalls();  // <function=f>{...}</function>
[[nodiscard]] const CallSyntax& RecipientCalls();    // >>>f
[[nodiscard]] const CallSyntax& SectionCalls();      // <｜tool▁calls▁begin｜>, and Kimi's

}  // namespace mirage::text
