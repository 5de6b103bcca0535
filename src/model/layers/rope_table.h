// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rotary embedding angles: one frequency per pair of values, one cosine and sine per position and
// frequency.

#include <cstdint>
#include <span>
#include <vector>

#include "model/config.h"

namespace mirage::model {

// Angle per position of each rotated pair, [rotary / 2], with the configured scaling applied.
[[nodiscard]] std::vector<double> RopeFrequencies(const RopeConfig& rope);

// cos and sin, both [positions.size(), rotary / 2], for the given absolute positions.
void FillRopeTable(const RopeConfig& rope, std::span<const double> frequencies,
                   std::span<const int64_t> positions, float* cos, float* sin);

}  // namespace mirage::model
