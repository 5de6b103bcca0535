// SPDX-License-Identifier: Apache-2.0

// Llama 3's calls, and those of Functionary 3.1, which is made of it.
//
//   {"name": "get_weather", "parameters": {"city": "Paris"}}      one or more; nothing before them
//   <|python_tag|>brave_search.call(query="weather in Paris")     a tool of the model's own
//   <|python_tag|>print(1 + 1)                                    code, for a tool named python
//   <function=get_weather>{"city": "Paris"}</function>
//
// An object without a tag is only a call when its members are those of one and, where the tools are
// known, its name is one of theirs: any answer in JSON begins like it.

#include <algorithm>
#include <array>
#include <optional>

#include "text/answer/call_reader.h"
#include "text/answer/piece_writer.h"

namespace mirage::text {
namespace {

constexpr std::array<std::string_view, 3> kWords = {"<|python_tag|>", "<function=", "</function>"};
enum : size_t { kPythonTag, kFunction, kFunctionEnd };

constexpr std::array<std::string_view, 6> kKeys = {R"("name")", R"("parameters")", R"("arguments")",
                                                   R"("type")", R"("id")",         R"("function")"};

// The arguments of `name.call(a="b", c=1)`, as an object; nothing for another text.
std::optional<ToolCall> ReadOwnToolCall(std::string_view text) {
  const size_t open = text.find(".call(");
  if (open == std::string_view::npos || text.back() != ')') return std::nullopt;
  ToolCall call;
  call.name = text.substr(0, open);
  if (!IsToolName(call.name)) return std::nullopt;
  std::string_view rest = text.substr(open + 6, text.size() - open - 7);
  call.arguments = "{";
  while (!Trim(rest).empty()) {
    const size_t equals = rest.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view name = Trim(rest.substr(0, equals));
    if (!IsToolName(name)) return std::nullopt;
    rest = Trim(rest.substr(equals + 1));
    size_t end = 0;  // of the value: at a comma outside of quotation marks
    for (bool quoted = false; end < rest.size() && (quoted || rest[end] != ','); ++end) {
      if (quoted && rest[end] == '\\')
        ++end;
      else if (rest[end] == '"')
        quoted = !quoted;
    }
    const std::string value = EscapeControls(Trim(rest.substr(0, end)));
    if (!IsSafeJson(value)) return std::nullopt;
    if (call.arguments.size() > 1) call.arguments += ", ";
    AppendQuoted(name, &call.arguments);
    call.arguments += ": " + value;
    rest = rest.substr(std::min(rest.size(), end + 1));
  }
  call.arguments += '}';
  if (!IsSafeObject(call.arguments)) return std::nullopt;
  return call;
}

// `name.call(` that nothing closes is no code either.
bool IsUnclosedCall(std::string_view text) {
  const size_t open = text.find(".call(");
  return open != std::string_view::npos && IsToolName(text.substr(0, open)) &&
         text.find(')', open) == std::string_view::npos;
}

class LlamaReader final : public CallReader {
 public:
  LlamaReader(const std::string& held, const ToolSet& tools)
      : CallReader(held, tools), object_(held) {}

  void Begin(size_t opener) override {
    tagged_ = opener == kPythonTag;
    state_ = tagged_ ? State::kTagged : opener == kFunction ? State::kName : State::kBetween;
    name_.begin = held().size();
  }

  Verdict Byte(char c) override {
    switch (state_) {
      case State::kBetween:  // also before the first one, of which it is the first byte
        if (c == '{') return BeginObject();
        return IsJsonSpace(c) || c == ';' ? Verdict::kMore : Verdict::kNot;
      case State::kObject:
        return FollowObject();
      case State::kTagged:
        if (c == '{') return BeginObject();
        if (!IsJsonSpace(c)) state_ = State::kCode;
        return Verdict::kMore;
      case State::kCode:
        return Verdict::kMore;
      case State::kName:
        if (c == '>') {
          name_.end = held().size() - 1;
          state_ = State::kArguments;
          return Verdict::kMore;
        }
        return IsToolNameByte(c) ? Verdict::kMore : Verdict::kNot;
      case State::kArguments:
        if (c == '{') return BeginObject();
        return IsJsonSpace(c) ? Verdict::kMore : Verdict::kNot;
      case State::kNamedObject:
        return FollowNamedObject();
      case State::kClosing:
        return IsJsonSpace(c) ? Verdict::kMore : Verdict::kNot;
    }
    return Verdict::kNot;
  }

  Verdict Marker(size_t index) override {
    switch (state_) {
      case State::kObject:
        return FollowObject();
      case State::kNamedObject:
        return FollowNamedObject();
      case State::kTagged:
        state_ = State::kCode;
        return Verdict::kMore;
      case State::kCode:
        return Verdict::kMore;
      case State::kClosing:
        return index == kFunctionEnd ? Verdict::kEnded : Verdict::kNot;
      case State::kBetween:
      case State::kName:
      case State::kArguments:
        break;
    }
    return Verdict::kNot;
  }

  Verdict End(bool whole) override {
    if (state_ == State::kBetween || state_ == State::kClosing) return Verdict::kRead;
    if (state_ != State::kCode || !whole) return Verdict::kNot;
    const std::string_view code = Trim(std::string_view(held()).substr(kWords[kPythonTag].size()));
    if (std::optional<ToolCall> own = ReadOwnToolCall(code)) return AddCall(*std::move(own));
    if (IsUnclosedCall(code)) return Verdict::kNot;
    if (const std::optional<std::string> string = ReadJsonString(code)) return AddCodeCall(*string);
    return AddCodeCall(code);
  }

 private:
  enum class State {
    kBetween,
    kObject,
    kTagged,  // after <|python_tag|>
    kCode,
    kName,  // after <function=
    kArguments,
    kNamedObject,
    kClosing
  };

  Verdict BeginObject() {
    object_.Begin(true);
    const bool named = state_ == State::kArguments;
    state_ = named ? State::kNamedObject : State::kObject;
    return named ? FollowNamedObject() : FollowObject();
  }

  // Code, too, may begin with a bracket.
  Verdict NoCall() {
    if (!tagged_) return Verdict::kNot;
    state_ = State::kCode;
    return Verdict::kMore;
  }

  Verdict FollowObject() {
    const JsonScanner::State state = object_.Follow();
    if (state == JsonScanner::State::kWrong || (!tagged_ && !LooksLikeCall())) return NoCall();
    if (state == JsonScanner::State::kMore) return Verdict::kMore;
    ToolCall call;
    if (!ReadCallObject(object_.text(), &call)) {
      if (tagged_ && AddCall("python", object_.text()) == Verdict::kNot) return NoCall();
      if (!tagged_) return Verdict::kNot;
    } else if (!tagged_ && !tools().MayBe(call.name)) {
      return Verdict::kNot;
    } else {
      static_cast<void>(AddCall(std::move(call)));
    }
    tagged_ = false;
    state_ = State::kBetween;
    return Verdict::kRead;
  }

  [[nodiscard]] bool LooksLikeCall() const {
    return std::all_of(object_.members().begin(), object_.members().end(), [&](const auto& member) {
      if (member.key.end == member.key.begin) return true;  // still to come
      const std::string_view key = member.key.Of(object_.text());
      return std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end();
    });
  }

  Verdict FollowNamedObject() {
    const JsonScanner::State state = object_.Follow();
    if (state == JsonScanner::State::kMore) return Verdict::kMore;
    if (state == JsonScanner::State::kWrong) return Verdict::kNot;
    state_ = State::kClosing;
    return AddCall(name_.Of(held()), object_.text());
  }

  State state_ = State::kBetween;
  bool tagged_ = false;  // what comes is a call or code
  JsonScanner::Span name_;
  HeldObject object_;
};

std::unique_ptr<CallReader> Make(const std::string& held, const ToolSet& tools) {
  return std::make_unique<LlamaReader>(held, tools);
}

constexpr uint32_t kOpeners = 1u << kPythonTag | 1u << kFunction;

}  // namespace

const CallSyntax& LlamaCalls() {
  static constexpr CallSyntax kSyntax = {kWords, kOpeners, true, false, Make};
  return kSyntax;
}

const CallSyntax& FunctionTagCalls() {
  static constexpr CallSyntax kSyntax = {kWords, kOpeners, false, false, Make};
  return kSyntax;
}

}  // namespace mirage::text
