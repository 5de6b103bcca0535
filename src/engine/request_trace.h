// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the engine writes into its trace: a step, something that happened to a request, its life.

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "engine/active_request.h"
#include "engine/trace.h"

namespace mirage::engine {

[[nodiscard]] TraceEvent StepEvent(const char* name, int64_t begin, int64_t end, size_t requests,
                                   int64_t tokens, const Status& executed);
[[nodiscard]] TraceEvent Instant(const ActiveRequest& request, const char* name, int64_t now);
// Waiting, computing the prompt, decoding: those of them that a request got to.
void TraceLife(Trace& trace, uint64_t number, const RequestStats& stats, int64_t now,
               Finish finish);

}  // namespace mirage::engine
