// SPDX-License-Identifier: Apache-2.0
#pragma once

// RunGuarded: a transfer's job as a Status, whatever the library code below it throws.

#include <exception>
#include <functional>
#include <new>
#include <string>

#include "base/result.h"

namespace mirage::memory {

[[nodiscard]] inline Status RunGuarded(const std::function<Status()>& job) {
  try {
    return job();
  } catch (const std::bad_alloc&) {
    return OutOfMemory("out of memory in a transfer", 0, 0);
  } catch (const std::exception& exception) {
    return Fail(Code::kInternal, std::string("a transfer threw: ") + exception.what());
  } catch (...) {
    return Fail(Code::kInternal, "a transfer threw");
  }
}

}  // namespace mirage::memory
