// SPDX-License-Identifier: Apache-2.0
#pragma once

// Temperature, plain or dynamic.
//
// Dynamic temperature (M. Zhu et al., "EDT: Improving Large Language Models' Generation by
// Entropy-based Dynamic Temperature Sampling", arXiv 2403.14541; here in kalomaze's form for
// koboldcpp and llama.cpp): with the entropy h of the candidates' distribution as a part of the
// highest they could have, low + (high - low) * h^exponent, where low and high are temperature -
// range and temperature + range, or 0 where that is below 0.

#include "sample/draw.h"
#include "sample/params.h"

namespace mirage::sample {

// Every distribution comes out as the likeliest token alone.
[[nodiscard]] bool TakesLikeliest(const Params& params);

// The temperature for these candidates, by which theirs is multiplied; 0 when only the likeliest
// may be drawn.
[[nodiscard]] double ChooseTemperature(const Params& params, Remaining& remaining);

}  // namespace mirage::sample
