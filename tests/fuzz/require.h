// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a fuzzer holds: a broken promise ends the run, saying which.

#include <cstdio>
#include <cstdlib>

namespace mirage {

inline void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

}  // namespace mirage
