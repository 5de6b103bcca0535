// SPDX-License-Identifier: Apache-2.0

#include "tools/answer_printer.h"

#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "tools/answer.h"
#include "tools/input.h"
#include "tools/json.h"

namespace mirage::cli {
namespace {

constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kNotDim = "\x1b[22m";

// An answer is worth more than what can be seen of the way to it: failures are passed over.
void WriteStandardError(std::string_view text) {
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
}

}  // namespace

AnswerPrinter::AnswerPrinter() : dims_(isatty(STDERR_FILENO) == 1) {}

void AnswerPrinter::Print(const mirage_event& event) {
  if (event.kind == MIRAGE_EVENT_TOOL_CALL) {
    EndReasoning();
    if (in_line_) WriteStandardOutput("\n");
    WriteStandardOutput(Dump(CallJson({event.call_id, event.call_name, event.call_arguments})));
    in_line_ = false;
    after_call_ = true;
    return;
  }
  const std::string text(event.text, event.text_bytes);
  if (event.text_kind != MIRAGE_TEXT_REASONING) {
    EndReasoning();
    WriteStandardOutput(text);
    in_line_ = !text.ends_with('\n');
    after_call_ = false;
    return;
  }
  if (!in_reasoning_ && dims_) WriteStandardError(kDim);
  in_reasoning_ = true;
  WriteStandardError(text);
}

void AnswerPrinter::EndReasoning() {
  if (!in_reasoning_) return;
  if (dims_) WriteStandardError(kNotDim);
  WriteStandardError("\n");
  in_reasoning_ = false;
}

void AnswerPrinter::End() {
  EndReasoning();
  if (!after_call_) WriteStandardOutput("\n");
}

}  // namespace mirage::cli
