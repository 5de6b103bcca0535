// SPDX-License-Identifier: Apache-2.0
#pragma once

// Guarded: turns what library code throws into an Error, so that one failed allocation ends one
// request.

#include <exception>
#include <new>
#include <string>

#include "base/result.h"

namespace mirage::engine {

template <typename Body>
[[nodiscard]] Status Guarded(Body&& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return Fail(Code::kOutOfMemory, "out of memory");  // short enough to need no memory of its own
  } catch (const std::exception& error) {
    return Fail(Code::kInternal, error.what());
  }
}

}  // namespace mirage::engine
