// SPDX-License-Identifier: Apache-2.0
#pragma once

// MIRAGE_ANSWER_x as the text room's formats.

#include <cstdint>

#include "base/result.h"
#include "session/loaded_model.h"
#include "text/answer/answer_format.h"

namespace mirage::abi {

// kUnsupported for one that is not known.
[[nodiscard]] Status CheckAnswerFormat(int32_t format);
// AUTO is what the model's template and vocabulary tell, and plain without a model. The tags of
// reasoning are the model's own if it has any.
[[nodiscard]] text::AnswerFormat AnswerFormatFor(int32_t format, const session::LoadedModel* model);
// What AUTO stands for.
[[nodiscard]] int32_t ShowAnswerFormat(const session::LoadedModel& model);

[[nodiscard]] inline bool MarksReasoning(const text::AnswerFormat& format) {
  return !format.reasoning.begin.empty() || format.calls == text::CallFormat::kHarmony;
}

}  // namespace mirage::abi
