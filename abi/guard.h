// SPDX-License-Identifier: Apache-2.0
#pragma once

// Guard: the one place where errors and exceptions of the library become a mirage_status and a
// mirage_error.
//
// Every extern "C" function that can fail is a Guard around a lambda that returns Status. Nothing
// leaves it but a number; what the lambda throws (bad_alloc, or a defect) is caught here.

#include <cstddef>
#include <exception>
#include <new>
#include <utility>

#include "base/result.h"
#include "mirage/mirage.h"

namespace mirage::abi {

// Fills the caller's struct as far as its struct_size reaches, cutting the message between code
// points. A null or too small struct is left alone.
void ClearError(mirage_error* error) noexcept;
void SetError(mirage_error* error, Code code, std::string_view message, uint64_t needed_bytes = 0,
              uint64_t available_bytes = 0) noexcept;

template <typename Body>
mirage_status Guard(mirage_error* error, Body&& body) noexcept {
  try {
    const Status status = std::forward<Body>(body)();
    if (status) {
      ClearError(error);
      return MIRAGE_OK;
    }
    const Error& failure = status.error();
    SetError(error, failure.code, failure.message, failure.needed_bytes, failure.available_bytes);
    return static_cast<mirage_status>(failure.code);
  } catch (const std::bad_alloc&) {
    SetError(error, Code::kOutOfMemory, "the allocator has no memory left");
    return MIRAGE_OUT_OF_MEMORY;
  } catch (const std::exception& exception) {
    SetError(error, Code::kInternal, exception.what());
    return MIRAGE_INTERNAL;
  } catch (...) {
    SetError(error, Code::kInternal, "an unknown exception");
    return MIRAGE_INTERNAL;
  }
}

}  // namespace mirage::abi
