// SPDX-License-Identifier: Apache-2.0
#pragma once

// What an engine's trace recorded, in the Trace Event Format that Perfetto (ui.perfetto.dev) and
// Chrome read (docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU): one track
// of steps, one track per request.

#include <string>

#include "engine/trace.h"

namespace mirage::session {

[[nodiscard]] std::string TraceJson(const engine::Trace::Recorded& recorded);

}  // namespace mirage::session
