// SPDX-License-Identifier: Apache-2.0
#pragma once

// Guarded: turns what library code throws into an Error, so that one failed allocation ends one
// piece of work and not the thread it was done on. It needs no memory of its own.

#include <exception>
#include <new>
#include <utility>

#include "base/result.h"

namespace mirage {

// Both without the words where there is no memory for them.
[[nodiscard]] inline Error CopyOf(const Error& error) noexcept {
  try {
    return error;
  } catch (const std::bad_alloc&) {
    return {error.code, "", error.needed_bytes, error.available_bytes};
  }
}
[[nodiscard]] inline tl::unexpected<Error> FailInWords(Code code, const char* words) noexcept {
  try {
    return Fail(code, words);
  } catch (const std::bad_alloc&) {
    return Fail(code, {});
  }
}

template <typename Body>
[[nodiscard]] Status Guarded(Body&& body) noexcept {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc&) {
    return FailInWords(Code::kOutOfMemory, "out of memory");
  } catch (const std::exception& error) {
    return FailInWords(Code::kInternal, error.what());
  } catch (...) {
    return FailInWords(Code::kInternal, "an unknown exception");
  }
}

}  // namespace mirage
