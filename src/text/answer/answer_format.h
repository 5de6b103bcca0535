// SPDX-License-Identifier: Apache-2.0
#pragma once

// AnswerFormat: how a model writes calls of tools and reasoning.
//
// No file says it; it is told by the words in the model's chat template and by its control tokens.
// Plain data; any thread.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "text/answer/answer_reader.h"

namespace mirage::text {

// How calls are written. The numbers are those of MIRAGE_ANSWER_x.
enum class CallFormat : int32_t {
  kNone = 1,
  kHermes = 2,           // <tool_call>{...}</tool_call>: Hermes, Qwen 2.5 and 3
  kQwenXml = 3,          // <function=f><parameter=p>: Qwen3-Coder
  kLlama3 = 4,           // {"name", "parameters"}, <|python_tag|>
  kMistral = 5,          // [TOOL_CALLS]
  kFunctionaryTags = 6,  // <function=f>{...}</function>: version 3.1
  kFunctionary = 7,      // >>>f: version 3.2
  kDeepSeek = 8,         // <｜tool▁calls▁begin｜>
  kHarmony = 9,          // <|channel|>: gpt-oss
  kKimi = 10,            // <|tool_calls_section_begin|>
};

struct AnswerFormat {
  CallFormat calls = CallFormat::kNone;
  ReasoningTags reasoning;

  [[nodiscard]] bool plain() const { return calls == CallFormat::kNone && reasoning.begin.empty(); }
  // Everything in the answer is marked, whether or not there are tools.
  [[nodiscard]] bool marks_all() const {
    return calls == CallFormat::kHarmony || calls == CallFormat::kFunctionary;
  }
};

// Whether the vocabulary has a control token of this spelling.
using HasControl = std::function<bool(std::string_view spelling)>;

[[nodiscard]] AnswerFormat DetectAnswerFormat(std::string_view chat_template,
                                              const HasControl& has_control);
// That of the calls, with the tags of reasoning that go with it.
[[nodiscard]] AnswerFormat AnswerFormatOf(CallFormat calls);
[[nodiscard]] const CallSyntax* SyntaxOf(CallFormat calls);
// The control tokens with which models that write calls so end a turn; none of harmony's, which are
// part of its marks.
[[nodiscard]] std::span<const std::string_view> EndsOfTurn(CallFormat calls);

}  // namespace mirage::text
