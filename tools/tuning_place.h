// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where `mirage tune` leaves what it measured, and the other commands look for it:
// $XDG_CACHE_HOME/mirage/tuning.json, or ~/.cache/mirage/tuning.json.

#include <string>

namespace mirage::cli {

// "" where neither variable says a place.
[[nodiscard]] std::string DefaultTuningPath();

// "" where there is no such file.
[[nodiscard]] std::string DefaultTuningIfThere();

// The path, with the folders above it made. kBadInput where there is none, kOther where they cannot
// be made.
[[nodiscard]] std::string MakeDefaultTuningPlace();

}  // namespace mirage::cli
