// SPDX-License-Identifier: Apache-2.0
#pragma once

// Result and Error: how everything in Mirage reports that something did not work.
//
// Anything a file, a user, the operating system or a device can cause is an Error value whose
// message names the thing and the number. Exceptions are for the library code below us (and
// bad_alloc); they are caught at every extern "C" entry and at the top of every thread.
//
//   MIRAGE_TRY(DoThis());                          // returns the Error to the caller
//   MIRAGE_TRY_ASSIGN(const auto file, OpenFile(path));

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace mirage {

// The numbers are those of mirage_status in the public header and are pinned forever.
enum class Code : int32_t {
  kOk = 0,
  kInvalidArgument = 10,  // a caller's mistake: option, pointer, range
  kUnsupported = 11,      // well-formed, but this build does not do it
  kNotFound = 20,         // no such file, model, token
  kIo = 21,               // the operating system refused or failed
  kCorrupt = 22,          // a file or a state whose bytes cannot be right
  kRefused = 23,          // the input's own refusal: a template's raise_exception
  kOutOfMemory = 30,      // a limit or the machine: needed_bytes and available_bytes are set
  kContextFull = 31,  // the sequence cannot grow: needed and available count tokens in the message
  kCancelled = 40,
  kTimeout = 41,
  kDeadline = 42,
  kBusy = 43,  // a generation is running on the session
  kClosed = 44,
  kWouldDeadlock = 45,
  kForked = 46,
  kDevice = 50,
  kInternal = 90,  // our defect
};

// What in a model's files an error is about (base/file_error.h makes such errors). Code that knows
// only names and values leaves it at that; format::ModelFile::Locate, which knows the files, puts
// the file and the byte before the message.
struct FilePart {
  enum class Kind : uint8_t { kNone, kFile, kKey, kTensor };
  Kind kind = Kind::kNone;
  std::string name;     // of the key or tensor
  uint64_t within = 0;  // a key's array: the element; a tensor: the byte of its data
};

struct Error {
  Code code = Code::kInternal;
  std::string message;
  uint64_t needed_bytes = 0;
  uint64_t available_bytes = 0;
  // Shared, because most errors have none: a Result is in every frame of a recursion, and stays
  // small.
  std::shared_ptr<const FilePart> part = nullptr;

  [[nodiscard]] FilePart::Kind part_kind() const {
    return part ? part->kind : FilePart::Kind::kNone;
  }

  // Prefixes the message with where it happened: "blk.3.attn_q.weight: offset past the end".
  [[nodiscard]] Error Within(std::string_view where) && {
    message.insert(0, std::string(where) + ": ");
    return std::move(*this);
  }
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline tl::unexpected<Error> Fail(Code code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}
[[nodiscard]] inline tl::unexpected<Error> Fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}
[[nodiscard]] inline tl::unexpected<Error> OutOfMemory(std::string message, uint64_t needed_bytes,
                                                       uint64_t available_bytes) {
  return tl::unexpected<Error>(
      Error{Code::kOutOfMemory, std::move(message), needed_bytes, available_bytes});
}

}  // namespace mirage

#define MIRAGE_CONCAT_INNER(a, b) a##b
#define MIRAGE_CONCAT(a, b) MIRAGE_CONCAT_INNER(a, b)

#define MIRAGE_TRY(expr)                                                              \
  do {                                                                                \
    if (auto mirage_try_status = (expr); !mirage_try_status)                          \
      return ::tl::unexpected<::mirage::Error>(std::move(mirage_try_status).error()); \
  } while (false)

#define MIRAGE_TRY_ASSIGN(decl, expr) \
  MIRAGE_TRY_ASSIGN_INNER(MIRAGE_CONCAT(mirage_result_, __LINE__), decl, expr)
#define MIRAGE_TRY_ASSIGN_INNER(tmp, decl, expr)                              \
  auto tmp = (expr);                                                          \
  if (!tmp) return ::tl::unexpected<::mirage::Error>(std::move(tmp).error()); \
  decl = std::move(*tmp)
