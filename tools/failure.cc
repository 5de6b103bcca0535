// SPDX-License-Identifier: Apache-2.0

#include "tools/failure.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include "tools/interrupt.h"

namespace mirage::cli {
namespace {

ExitCode ExitCodeOf(mirage_status status) {
  switch (status) {
    case MIRAGE_INVALID_ARGUMENT:
    case MIRAGE_UNSUPPORTED:
    case MIRAGE_NOT_FOUND:
    case MIRAGE_CORRUPT:
    case MIRAGE_CONTEXT_FULL:
      return kBadInput;
    case MIRAGE_REFUSED:
      return kRefused;
    case MIRAGE_OUT_OF_MEMORY:
      return kLimit;
    case MIRAGE_CANCELLED:
      return Interrupted() ? kInterrupted : kOther;
    default:
      return kOther;
  }
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string printable;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n')
      printable += "\\n";
    else if (byte < 0x20 || byte == 0x7F)
      printable += fmt::format("\\x{:02x}", byte);
    else
      printable += c;
  }
  return printable;
}

Failure FailureOf(mirage_status status, const mirage_error& error, const std::string& what) {
  std::string message =
      what.empty() ? std::string(error.message) : fmt::format("{}: {}", what, error.message);
  if (status == MIRAGE_OUT_OF_MEMORY && error.needed_bytes > 0)
    message += fmt::format(" (needed {} bytes, available {} bytes)", error.needed_bytes,
                           error.available_bytes);
  return {ExitCodeOf(status), message, status};
}

void Check(mirage_status status, const mirage_error& error, const std::string& what) {
  if (status != MIRAGE_OK) throw FailureOf(status, error, what);
}

}  // namespace mirage::cli
