// SPDX-License-Identifier: Apache-2.0

#include "platform/random.h"

#include <unistd.h>

#include <cerrno>

#include "platform/os_error.h"

namespace mirage::platform {

Result<uint64_t> RandomSeed() {
  uint64_t seed = 0;
  if (getentropy(&seed, sizeof seed) != 0) return Fail(OsError("random numbers", errno));
  return seed;
}

}  // namespace mirage::platform
