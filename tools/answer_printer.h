// SPDX-License-Identifier: Apache-2.0
#pragma once

// AnswerPrinter: an answer as it comes, for people and for scripts: content on standard output,
// calls of tools there too, each a JSON value on a line of its own; reasoning on standard error,
// dimmed at a terminal.

#include "mirage/mirage.h"

namespace mirage::cli {

class AnswerPrinter {
 public:
  AnswerPrinter();

  // A TEXT or TOOL_CALL event.
  void Print(const mirage_event& event);
  // The answer's end: both outputs stand at the beginning of a line.
  void End();

 private:
  void EndReasoning();

  const bool dims_;
  bool in_reasoning_ = false;
  bool in_line_ = false;     // on standard output
  bool after_call_ = false;  // whose line has ended; an answer's text, even an empty one, is to end
};

}  // namespace mirage::cli
