// SPDX-License-Identifier: Apache-2.0

#include "abi/answer_format.h"

#include <string>

#include "mirage/mirage.h"

namespace mirage::abi {

using text::CallFormat;

static_assert(MIRAGE_ANSWER_PLAIN == static_cast<int32_t>(CallFormat::kNone));
static_assert(MIRAGE_ANSWER_HERMES == static_cast<int32_t>(CallFormat::kHermes));
static_assert(MIRAGE_ANSWER_QWEN_XML == static_cast<int32_t>(CallFormat::kQwenXml));
static_assert(MIRAGE_ANSWER_LLAMA3 == static_cast<int32_t>(CallFormat::kLlama3));
static_assert(MIRAGE_ANSWER_MISTRAL == static_cast<int32_t>(CallFormat::kMistral));
static_assert(MIRAGE_ANSWER_FUNCTIONARY_V3_1 == static_cast<int32_t>(CallFormat::kFunctionaryTags));
static_assert(MIRAGE_ANSWER_FUNCTIONARY_V3_2 == static_cast<int32_t>(CallFormat::kFunctionary));
static_assert(MIRAGE_ANSWER_DEEPSEEK == static_cast<int32_t>(CallFormat::kDeepSeek));
static_assert(MIRAGE_ANSWER_HARMONY == static_cast<int32_t>(CallFormat::kHarmony));
static_assert(MIRAGE_ANSWER_KIMI == static_cast<int32_t>(CallFormat::kKimi));

Status CheckAnswerFormat(int32_t format) {
  if (format >= MIRAGE_ANSWER_AUTO && format <= MIRAGE_ANSWER_KIMI) return {};
  return Fail(Code::kUnsupported, "answer_format is " + std::to_string(format) + "; 0 to " +
                                      std::to_string(MIRAGE_ANSWER_KIMI) + " are known");
}

text::AnswerFormat AnswerFormatFor(int32_t format, const session::LoadedModel* model) {
  if (format == MIRAGE_ANSWER_AUTO)
    return model == nullptr ? text::AnswerFormat{} : model->answer_format();
  text::AnswerFormat named = text::AnswerFormatOf(static_cast<CallFormat>(format));
  if (!named.reasoning.begin.empty() && model != nullptr &&
      !model->answer_format().reasoning.begin.empty())
    named.reasoning = model->answer_format().reasoning;
  return named;
}

int32_t ShowAnswerFormat(const session::LoadedModel& model) {
  return static_cast<int32_t>(model.answer_format().calls);
}

}  // namespace mirage::abi
