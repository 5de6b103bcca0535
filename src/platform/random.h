// SPDX-License-Identifier: Apache-2.0
#pragma once

// Numbers nobody can predict, for seeds. Any thread.

#include <cstdint>

#include "base/result.h"

namespace mirage::platform {

[[nodiscard]] Result<uint64_t> RandomSeed();

}  // namespace mirage::platform
