// SPDX-License-Identifier: Apache-2.0
#include "engine/request_trace.h"

namespace mirage::engine {
namespace {

const char* NameOf(Finish finish) {
  switch (finish) {
    case Finish::kStop:
      return "stop";
    case Finish::kLength:
      return "length";
    case Finish::kCancelled:
      return "cancelled";
    case Finish::kDeadline:
      return "deadline";
    case Finish::kError:
      return "error";
    case Finish::kNone:
      break;
  }
  return "";
}

}  // namespace

TraceEvent StepEvent(const char* name, int64_t begin, int64_t end, size_t requests, int64_t tokens,
                     const Status& executed) {
  TraceEvent event;
  event.kind = TraceEvent::Kind::kStep;
  event.name = name;
  event.reason = executed ? "" : executed.error().code == Code::kCancelled ? "cancelled" : "failed";
  event.begin_ns = begin;
  event.end_ns = end;
  event.fields[0] = {"requests", static_cast<int64_t>(requests)};
  event.fields[1] = {"tokens", tokens};
  return event;
}

TraceEvent Instant(const ActiveRequest& request, const char* name, int64_t now) {
  TraceEvent event;
  event.name = name;
  event.request = request.number;
  event.begin_ns = now;
  return event;
}

void TraceLife(Trace& trace, uint64_t number, const RequestStats& stats, int64_t now,
               Finish finish) {
  TraceEvent event;
  event.kind = TraceEvent::Kind::kPhase;
  event.request = number;
  const auto add = [&](const char* name, int64_t begin, int64_t end, const char* reason) {
    event.name = name;
    event.begin_ns = begin;
    event.end_ns = end;
    event.reason = reason;
    trace.Add(event);
  };
  const bool stepped = stats.first_step_ns != 0;
  const bool answered = stats.first_token_ns != 0;
  const char* const why = NameOf(finish);
  add("waiting", stats.submitted_ns, stepped ? stats.first_step_ns : now, stepped ? "" : why);
  event.fields[0] = {"tokens", stats.prompt_tokens};
  event.fields[1] = {"cached", stats.cached_tokens};
  if (stepped)
    add("prompt", stats.first_step_ns, answered ? stats.first_token_ns : now, answered ? "" : why);
  event.fields[0] = {"tokens", stats.output_tokens};
  event.fields[1] = {"guessed", stats.guessed_tokens};
  event.fields[2] = {"accepted", stats.accepted_tokens};
  if (answered) add("decoding", stats.first_token_ns, now, why);
}

}  // namespace mirage::engine
