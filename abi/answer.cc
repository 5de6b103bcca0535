// SPDX-License-Identifier: Apache-2.0

// Answers read as a whole.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "abi/answer_format.h"
#include "abi/first_sizes.h"
#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/structs.h"
#include "session/answer_message.h"
#include "text/answer/tool_set.h"

namespace mirage::abi {
namespace {

mirage_parse_options DefaultParseOptions() {
  mirage_parse_options options{};
  options.struct_size = sizeof options;
  return options;
}

Result<text::AnswerOptions> ReadParseOptions(const mirage_model* model,
                                             const mirage_parse_options* given) {
  MIRAGE_TRY_ASSIGN(
      const mirage_parse_options options,
      ReadOptions(given, DefaultParseOptions(), kFirstParseOptions, "mirage_parse_options"));
  MIRAGE_TRY(CheckReserved(options.reserved, "mirage_parse_options"));
  MIRAGE_TRY(CheckAnswerFormat(options.answer_format));
  MIRAGE_TRY(CheckFlag(options.in_reasoning, "in_reasoning"));
  MIRAGE_TRY(CheckSpan(options.tools, options.tools_bytes, "options->tools"));
  if (options.answer_format == MIRAGE_ANSWER_AUTO) {
    if (model == nullptr)
      return Fail(Code::kInvalidArgument, "answer_format is AUTO, but no model is given");
    MIRAGE_TRY(model->model->RequireTokenizer());
  }
  text::AnswerOptions read;
  read.format =
      AnswerFormatFor(options.answer_format, model == nullptr ? nullptr : model->model.get());
  read.in_reasoning = options.in_reasoning == 1;
  if (read.in_reasoning && read.format.reasoning.begin.empty())
    return Fail(Code::kInvalidArgument, "in_reasoning is set, but the format marks no reasoning");
  read.id_seed = options.id_seed;
  MIRAGE_TRY_ASSIGN(text::ToolSet tools,
                    text::ToolSet::Read(std::string_view(options.tools, options.tools_bytes)));
  read.tools = std::make_shared<const text::ToolSet>(std::move(tools));
  return read;
}

std::vector<std::string_view> EndsOfGeneration(const mirage_model* model) {
  std::vector<std::string_view> ends;
  if (model == nullptr || model->model->tokenizer() == nullptr) return ends;
  const text::Tokenizer& tokenizer = *model->model->tokenizer();
  for (const int32_t id : tokenizer.special().end_of_generation)
    if (tokenizer.is_control(id)) ends.push_back(tokenizer.TokenText(id));
  return ends;
}

}  // namespace
}  // namespace mirage::abi

using namespace mirage;       // NOLINT: extern "C" functions cannot live in a namespace
using namespace mirage::abi;  // NOLINT

extern "C" {

void mirage_parse_options_init(mirage_parse_options* options, size_t struct_size) {
  InitOptions(options, struct_size, DefaultParseOptions());
}

mirage_status mirage_parse_answer(const mirage_model* model, const mirage_parse_options* options,
                                  const char* text, size_t text_bytes, char* message,
                                  size_t capacity, size_t* message_bytes, mirage_error* error) {
  return Guard(error, [&]() -> Status {
    if (model != nullptr) MIRAGE_TRY(CheckHandle(model, "model"));
    MIRAGE_TRY_ASSIGN(text::AnswerOptions read, ReadParseOptions(model, options));
    MIRAGE_TRY(CheckSpan(text, text_bytes, "text"));
    const std::string json = session::ReadAnswer(std::string_view(text, text_bytes),
                                                 std::move(read), EndsOfGeneration(model))
                                 .ToJson();
    return WriteArray(json.data(), json.size(), message, capacity, message_bytes, "bytes");
  });
}

}  // extern "C"
