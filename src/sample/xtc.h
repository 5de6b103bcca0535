// SPDX-License-Identifier: Apache-2.0
#pragma once

// XTC, exclude top choices: now and then, all tokens are dropped that would be good enough, but for
// the least likely of them. P. E. Weidmann, text-generation-webui pull request 6335 (2024).

#include "sample/draw.h"

namespace mirage::sample {

// Drops every candidate of at least `threshold` probability except the last of them in the order of
// likelihood; nothing when fewer than two are. Whether it happens at all is the caller's draw.
void ExcludeTopChoices(double threshold, Remaining& remaining);

}  // namespace mirage::sample
