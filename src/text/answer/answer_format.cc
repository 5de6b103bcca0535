// SPDX-License-Identifier: Apache-2.0
#include "text/answer/answer_format.h"

#include <array>

namespace mirage::text {
namespace {

using Words = std::array<std::string_view, 3>;

// The first row whose words all stand in the template; "" for none.
struct Row {
  CallFormat format;
  Words words;
};
constexpr Row kRows[] = {
    {CallFormat::kHarmony, {"<|channel|>", "<|message|>"}},
    {CallFormat::kFunctionary, {">>>all", ">>>${recipient}"}},
    {CallFormat::kMistral, {"[TOOL_CALLS]"}},
    {CallFormat::kDeepSeek, {"<｜tool▁calls▁begin｜>"}},
    {CallFormat::kKimi, {"<|tool_calls_section_begin|>"}},
    {CallFormat::kQwenXml, {"<function=", "<parameter="}},
    {CallFormat::kFunctionaryTags, {"<function="}},
    {CallFormat::kHermes, {"<tool_call>", "\"arguments\""}},
    {CallFormat::kHermes, {"<tool_call>", "\\\"arguments\\\""}},
    {CallFormat::kHermes, {"<TOOLCALL>"}},
    {CallFormat::kHermes, {"<|tool_call|>"}},
    {CallFormat::kLlama3, {"<|start_header_id|>ipython", "\"parameters\""}},
};

const ReasoningTags kThink = {"<think>", "</think>"};
const ReasoningTags kSeedThink = {"<seed:think>", "</seed:think>"};
const ReasoningTags kThinkWords = {"[THINK]", "[/THINK]"};  // Mistral's

constexpr std::string_view kChatMlEnds[] = {"<|im_end|>", "<|endoftext|>", "<seed:eos>"};
constexpr std::string_view kLlama3Ends[] = {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"};
constexpr std::string_view kMistralEnds[] = {"</s>"};
constexpr std::string_view kDeepSeekEnds[] = {"<｜end▁of▁sentence｜>"};

bool Has(std::string_view text, const Words& words) {
  for (const std::string_view word : words)
    if (text.find(word) == std::string_view::npos) return false;
  return true;
}

}  // namespace

AnswerFormat DetectAnswerFormat(std::string_view chat_template, const HasControl& has_control) {
  AnswerFormat format;
  for (const Row& row : kRows) {
    if (!Has(chat_template, row.words)) continue;
    format.calls = row.format;
    break;
  }
  if (format.calls == CallFormat::kHarmony) return format;
  for (const ReasoningTags* tags : {&kThinkWords, &kSeedThink, &kThink}) {
    if (chat_template.find(tags->end) == std::string_view::npos && !has_control(tags->end))
      continue;
    format.reasoning = *tags;
    break;
  }
  return format;
}

AnswerFormat AnswerFormatOf(CallFormat calls) {
  if (calls == CallFormat::kNone || calls == CallFormat::kHarmony) return {calls, {}};
  return {calls, calls == CallFormat::kMistral ? kThinkWords : kThink};
}

std::span<const std::string_view> EndsOfTurn(CallFormat calls) {
  switch (calls) {
    case CallFormat::kHermes:
    case CallFormat::kQwenXml:
    case CallFormat::kKimi:
      return kChatMlEnds;
    case CallFormat::kLlama3:
    case CallFormat::kFunctionaryTags:
    case CallFormat::kFunctionary:
      return kLlama3Ends;
    case CallFormat::kMistral:
      return kMistralEnds;
    case CallFormat::kDeepSeek:
      return kDeepSeekEnds;
    case CallFormat::kNone:
    case CallFormat::kHarmony:
      break;
  }
  return {};
}

const CallSyntax* SyntaxOf(CallFormat calls) {
  switch (calls) {
    case CallFormat::kHermes:
      return &JsonTagCalls();
    case CallFormat::kQwenXml:
      return &XmlCalls();
    case CallFormat::kLlama3:
      return &LlamaCalls();
    case CallFormat::kMistral:
      return &MistralCalls();
    case CallFormat::kFunctionaryTags:
      return &FunctionTagCalls();
    case CallFormat::kFunctionary:
      return &RecipientCalls();
    case CallFormat::kDeepSeek:
    case CallFormat::kKimi:
      return &SectionCalls();
    case CallFormat::kNone:
    case CallFormat::kHarmony:
      break;
  }
  return nullptr;
}

}  // namespace mirage::text
