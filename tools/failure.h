// SPDX-License-Identifier: Apache-2.0
#pragma once

// Failure: how a command ends early: an exit code that scripts rely on, and one line for people.

#include <stdexcept>
#include <string>
#include <string_view>

#include "mirage/mirage.h"

namespace mirage::cli {

enum ExitCode : int {
  kDone = 0,
  kNegative = 1,  // the answer is no
  kBadInput = 2,  // a file, a flag, a template's syntax
  kRefused = 3,   // the input's own refusal: a template's raise_exception
  kLimit = 4,     // the memory limit is below the least that can work
  kOther = 5,     // input and output, devices, defects
  kInterrupted = 130,
};

class Failure : public std::runtime_error {
 public:
  Failure(ExitCode code, const std::string& message, mirage_status status = MIRAGE_OK)
      : std::runtime_error(message), code_(code), status_(status) {}
  [[nodiscard]] ExitCode code() const { return code_; }
  [[nodiscard]] mirage_status status() const { return status_; }  // the library's, if it was it

 private:
  ExitCode code_;
  mirage_status status_;
};

// Control characters as "\n" or "\x1b": what a file or an argument says cannot move the cursor.
[[nodiscard]] std::string Printable(std::string_view text);

// What became of a call of the library. `what` names the thing in hand: a file, an option.
[[nodiscard]] Failure FailureOf(mirage_status status, const mirage_error& error,
                                const std::string& what);
// Throws it unless `status` is MIRAGE_OK.
void Check(mirage_status status, const mirage_error& error, const std::string& what);

}  // namespace mirage::cli
