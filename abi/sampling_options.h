// SPDX-License-Identifier: Apache-2.0
#pragma once

// The part of mirage_generation_options that says how tokens are chosen.

#include "abi/handles.h"
#include "base/result.h"
#include "session/session.h"

namespace mirage::abi {

// The numbers of `sampling` into the options; lists and `samplers` stay as they are.
void ShowSampling(const sample::Params& sampling, mirage_generation_options* options);

// The options into `read`: sampling, dry_breakers, min_tokens.
[[nodiscard]] Status ReadSampling(const mirage_generation_options& options,
                                  session::GenerationOptions* read);

}  // namespace mirage::abi
