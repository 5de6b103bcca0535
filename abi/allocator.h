// SPDX-License-Identifier: Apache-2.0
#pragma once

// The library's heap: what its operator new takes from.
//
// libmirage.so defines operator new and delete for itself alone (the version script keeps them
// local), so everything its C++ objects hold comes from one place: the application's allocator when
// it gave one before the first allocation, else the build's. Static constructors must not allocate:
// they would come before it.

#include <cstddef>

#include "base/result.h"
#include "mirage/mirage.h"

namespace mirage::abi {

// kBusy when something was allocated before.
[[nodiscard]] Status SetAllocator(const mirage_allocator& allocator);

}  // namespace mirage::abi
